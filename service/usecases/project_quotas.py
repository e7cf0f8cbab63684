"""The quotas of projects: checked where attempts start and where users add jobs, data and code."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from baton.domain.projects import DEFAULT
from baton.domain.states import AttemptState
from service.db.base import IS_LIVE
from service.db.project_table import Project
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.errors import NotFound, ProjectQuota
from service.usecases.attempt_limits import Limits


def several(unit: Unit) -> bool:
    """Whether there is any project besides the default project."""
    return unit.session.scalar(select(exists().where(Project.name != DEFAULT))) or False


def with_quotas(session: Session, limits: Limits) -> Limits:
    """The limits of the settings, and those of the projects."""
    query = select(Project.name, Project.max_attempts).where(Project.max_attempts.is_not(None))
    found = {name: most for name, most in session.execute(query) if most is not None}
    return replace(limits, projects=found) if found else limits


def with_quota(session: Session, limits: Limits, project: str) -> Limits:
    """The limits of the settings, and that of one project."""
    most = session.scalar(select(Project.max_attempts).where(Project.name == project))
    return limits if most is None else replace(limits, projects={project: most})


def hold(unit: Unit, project: str) -> Project:
    """The project. It cannot be deleted before this transaction ends. Call this where things are put into a project.

    Raises NotFound: it was deleted after the caller's token was checked.
    """
    query = select(Project).where(Project.name == project).with_for_update(read=True)
    row = unit.session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise NotFound(f"the project {project} was deleted")
    return row


def check_queued(unit: Unit, project: str) -> None:
    """Check that one more job of the project may wait for a worker. Raises ProjectQuota, NotFound.

    Other submissions into the project wait until this transaction ends, so that together they stay below the quota.
    """
    most = hold(unit, project).max_queued
    if most is None:
        return
    unit.lock_names([f"queued jobs of {project}"])
    number = queued(unit, project)
    if number >= most:
        raise ProjectQuota(
            f"the project {project} has {number:,} queued jobs, and its quota max_queued is {most:,}: wait until some "
            "have started, cancel some, or ask an administrator for a higher quota"
        )


def queued(unit: Unit, project: str) -> int:
    """The number of jobs of the project that wait for a worker."""
    waiting = (IS_LIVE, Attempt.project == project, Attempt.state == AttemptState.QUEUED)
    return unit.session.scalar(select(func.count()).select_from(Attempt).where(*waiting)) or 0


def data_limit(unit: Unit, project: str) -> int | None:
    """The quota of pushed data in bytes. None: no limit."""
    return unit.session.scalar(select(Project.max_data_bytes).where(Project.name == project))


def code_limit(unit: Unit, project: str) -> int | None:
    """The quota of code bundles in bytes. None: no limit."""
    return unit.session.scalar(select(Project.max_code_bytes).where(Project.name == project))
