"""Which project a job or an attempt belongs to. For a caller of another project it does not exist.

The check is made for every route whose path names a job or an attempt, before the route runs, so neither caches nor
streams nor objects of the store can be reached past it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from sqlalchemy import Select, select

from service.db.engine import Database
from service.db.project_table import Project
from service.db.tables import Attempt, Job
from service.db.unit_of_work import known_form, no_attempt, no_job
from service.errors import Forbidden, InvalidRequest
from service.principal import Principal

HEADER = "Baton-Project"
"""With it an administrator acts in one project: it sees only this project, and what it makes belongs to it."""

KEPT = 20_000
NAMES = frozenset({"job_id", "attempt_id"})
"""The parameters of paths that name something of a project."""

_OF_JOB: Select[Any] = select(Job.project)
# By the job: the previous release queues attempts without their project.
_OF_ATTEMPT: Select[Any] = select(Job.project).join(Attempt, Attempt.job_id == Job.id)


class ProjectAccess:
    """Finds the projects of jobs and attempts. Caches them, because a job never changes its project. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def check(self, caller: Principal, path: Mapping[str, Any]) -> None:
        """Check the job and the attempt that the path of a route names. Raises NotFound."""
        if caller.project is None:
            return
        if (job_id := path.get("job_id")) is not None:
            query = _OF_JOB.where(Job.id == known_form(job_id, "job"))
            if self._project(job_id, query) != caller.project:
                raise no_job(job_id)
        if (attempt_id := path.get("attempt_id")) is not None:
            query = _OF_ATTEMPT.where(Attempt.id == known_form(attempt_id, "attempt"))
            if self._project(attempt_id, query) != caller.project:
                raise no_attempt(attempt_id)

    def narrowed(self, caller: Principal, project: str) -> Principal:
        """The caller as it acts in one project: an administrator may choose any. Raises InvalidRequest, Forbidden."""
        if caller.project is not None:
            if project != caller.project:
                text = f"the token {caller.name} belongs to the project {caller.project}: leave out the header"
                raise Forbidden(f"{text}, or name this project")
            return caller
        with self._database.peek() as connection:
            found = connection.scalar(select(Project.name).where(Project.name == project))
        if found is None:
            raise InvalidRequest(f"{HEADER}: there is no project {project[:64]!r}; `baton projects` lists them")
        return caller.within(found)

    def _project(self, name: str, query: Select[Any]) -> str | None:
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None:
            return kept
        with self._database.peek() as connection:
            found: str | None = connection.scalar(query)
        if found is not None:
            with self._lock:
                self._kept[name] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return found
