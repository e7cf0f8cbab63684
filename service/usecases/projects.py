"""Projects: created with their quotas, listed with what they use, deleted when nothing is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import exists, func, select
from sqlalchemy.exc import IntegrityError

from baton.domain.projects import DEFAULT, ProjectUse, ProjectView, Quotas
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.views import Listing
from service.db import audit
from service.db.auth_tables import ApiToken
from service.db.base import IS_LIVE
from service.db.data_tables import CodeBundle, DataVersion
from service.db.project_table import Project, ProjectObject
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.errors import Conflict, NotFound
from service.principal import Principal
from service.usecases import code_bundles, data_objects, project_quotas
from service.usecases.paging import Place, Sort, in_memory


def unknown(name: str) -> NotFound:
    """The error for a project that does not exist, or that the caller may not see."""
    return NotFound(f"there is no project {name[:64]!r}; `baton projects` lists them")


def check(unit: Unit, name: str) -> None:
    """Raise NotFound if the project does not exist."""
    if unit.session.get(Project, name) is None:
        raise unknown(name)


def page(unit: Unit, sort: Sort, cursor: str | None, limit: int) -> Listing[ProjectView]:
    """A page of the projects that the caller may see. Raises BadParameter."""
    keys: dict[str, tuple[Callable[[ProjectView], tuple[Any, ...]], tuple[type, ...]]] = {
        "name": (lambda one: (one.name,), (str,)),
        "created": (lambda one: (one.created_at.timestamp(), one.name), (float, str)),
    }
    key, kinds = keys[sort.key]
    found = in_memory(views(unit), key, Place("projects", sort), cursor, limit, *kinds)
    return Listing(items=found.rows, next_cursor=found.next_cursor)


def views(unit: Unit) -> list[ProjectView]:
    """The projects that the caller may see, by name."""
    rows = unit.session.scalars(select(Project).where(*unit.own(Project.name)).order_by(Project.name))
    return [view(unit, row) for row in rows]


def find(unit: Unit, name: str) -> Project:
    """A project that the caller may see. Raises NotFound."""
    row = unit.session.get(Project, name) if unit.sees(name) else None
    if row is None:
        raise unknown(name)
    return row


def put(unit: Unit, name: str, quotas: Quotas, caller: Principal) -> tuple[ProjectView, bool]:
    """Create a project, or replace its quotas. Returns the project, and whether it is new."""
    row = unit.session.get(Project, name, with_for_update=True)
    new = row is None
    if row is None:
        row = Project(name=name, created_at=unit.now(), created_by=caller.name)
        try:
            with unit.session.begin_nested():
                unit.session.add(row)
        except IntegrityError:  # another transaction created it first
            row, new = unit.session.get_one(Project, name, with_for_update=True), False
    changed = {field: value for field, value in quotas if getattr(row, field) != value}
    for field, value in changed.items():
        setattr(row, field, value)
    if new or changed:
        given = ", ".join(f"{field}: {'no limit' if value is None else f'{value:,}'}" for field, value in quotas)
        data = {"name": name, **quotas.model_dump()}
        if new:
            audit.record(unit, "project_created", caller, f"project {name} created: {given}", data)
        else:
            audit.record(unit, "project_changed", caller, f"project {name} changed: {given}", data)
    return view(unit, row), new


def delete(unit: Unit, name: str, caller: Principal) -> None:
    """Delete an empty project. Raises NotFound, and Conflict if it has jobs, tokens, data or code."""
    row = unit.session.get(Project, name, with_for_update=True)
    if row is None:
        raise unknown(name)
    if name == DEFAULT:
        raise Conflict("the default project cannot be deleted: everything that names no other project is in it")
    if there := _content(unit, name):
        raise Conflict(f"the project {name} has {' and '.join(there)}")
    unit.session.execute(sql_delete(ProjectObject).where(ProjectObject.project == name))  # packs without a version
    unit.session.delete(row)
    audit.record(unit, "project_deleted", caller, f"project {name} deleted", {"name": name})


def view(unit: Unit, row: Project) -> ProjectView:
    """A project with its quotas and what it uses now."""
    held = (IS_LIVE, Attempt.project == row.name, Attempt.state.in_(HELD_ATTEMPTS))
    use = ProjectUse(
        attempts=unit.session.scalar(select(func.count()).select_from(Attempt).where(*held)) or 0,
        queued=project_quotas.queued(unit, row.name),
        data_bytes=data_objects.bytes_used(unit, row.name),
        code_bytes=code_bundles.bytes_of(unit, row.name),
    )
    quotas = Quotas(**{name: getattr(row, name) for name in Quotas.model_fields})
    return ProjectView(name=row.name, created_at=row.created_at, created_by=row.created_by, quotas=quotas, use=use)


def _content(unit: Unit, name: str) -> Sequence[str]:
    """What is in a project, and what to do about it, in words."""
    parts = {
        "jobs (delete them)": (Job.project == name) & Job.deleted_at.is_(None),
        "deleted jobs that are still being removed (try again in a minute)": (Job.project == name)
        & Job.deleted_at.is_not(None),
        "tokens (revoke them)": (ApiToken.project == name) & ApiToken.revoked_at.is_(None),
        "data (delete it)": DataVersion.project == name,
        "code (it is deleted a day after the last job with it)": CodeBundle.project == name,
    }
    return [what for what, where in parts.items() if unit.session.scalar(select(exists().where(where)))]
