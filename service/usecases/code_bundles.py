"""Code bundles: published, named by jobs, and deleted when no job names them any more.

The object of a bundle is an object as service.usecases.data_objects describes them, so a push is safe while the
reconciler deletes. A bundle that no job names is kept for GRACE after its push, for the submission that follows, and
for as long after the deletion of the last job that named it.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, exists, func, literal, or_, select, update

from baton.domain.code_bundle import bundle_digest, bundle_object
from baton.domain.code_views import CodeView
from baton.domain.errors import FieldError, SpecError
from baton.domain.spec import AnySpec, ProgramJobSpec
from service.db import audit
from service.db.base import IS_CODED
from service.db.data_tables import CodeBundle, DataObject
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.errors import BeingDeleted, CodeQuota, NotFound
from service.principal import Principal
from service.usecases import data_objects, project_quotas
from service.usecases.data_objects import Known

FIELD = "program.code"
GRACE = timedelta(days=1)
LEFT = timedelta(hours=1)
"""A bundle that would be deleted sooner is not shown, so that a client pushes it again before it submits a job."""
ITEM = CodeBundle.project + literal("/") + CodeBundle.digest
"""A bundle as an item of the reconciler."""

_NO_SYNC = {"synchronize_session": False}
_NAMED = exists().where(Job.code == CodeBundle.digest, Job.project == CodeBundle.project, IS_CODED)


def reserve(unit: Unit, digest: str, size: int, project: str, limit: int) -> Known:
    """Write the row of a bundle's object that is about to be written. `limit`: bytes of all bundles; 0: none.

    A bundle of another project counts as if it did not exist, so that no answer tells that it does.

    Raises CodeQuota, BeingDeleted.
    """
    known = data_objects.reserve(unit, bundle_object(digest), size)
    if unit.session.get(CodeBundle, (project, digest)) is None:
        _check_bytes(unit, size, project, limit)
    return known


def _check_bytes(unit: Unit, size: int, project: str, limit: int) -> None:
    hint = "delete ended jobs with programs, or raise the limit. A bundle that no job names is deleted a day after its "
    if limit and (used := _bytes_used(unit) + size) > limit:
        # With several projects, the number would tell what others have.
        what = "more than" if project_quotas.several(unit) else f"{used:,} of"
        raise CodeQuota(f"code bundles would use {what} {limit:,} bytes (BATON_CODE_BYTES): {hint}last use")
    quota = project_quotas.code_limit(unit, project)
    if quota is not None and (used := bytes_of(unit, project) + size) > quota:
        what = f"code bundles of the project {project} would use {used:,} of {quota:,} bytes (quota max_code_bytes)"
        raise CodeQuota(f"{what}: {hint}last use")


def publish(unit: Unit, digest: str, files: int, number: int, caller: Principal) -> tuple[CodeView, bool]:
    """Make the object with this row number a bundle of the caller's project.

    Return the bundle, and whether it is new. Raises BeingDeleted.
    """
    project = caller.home
    unit.lock_names([f"code {digest}"])
    held = unit.session.get(DataObject, number, with_for_update=True, populate_existing=True)
    if held is None or held.doomed_at is not None:
        raise BeingDeleted
    project_quotas.hold(unit, project)
    row = _used_now(unit, digest, project)
    if row is not None:
        return view(row), False
    now = unit.now()
    row = CodeBundle(
        project=project,
        digest=digest,
        object=number,
        files=files,
        bytes=held.size,
        created_at=now,
        created_by=caller.name,
        last_used_at=now,
    )
    unit.session.add(row)
    held.holders += 1
    text = f"code {digest[:12]} pushed: {files:,} files, {held.size:,} bytes"
    audit.record(unit, "code_pushed", caller, text, {"digest": digest})
    return view(row), True


def find(unit: Unit, digest: str, project: str) -> CodeView:
    """A bundle of the project that is kept for at least LEFT. Raises NotFound."""
    kept = or_(CodeBundle.last_used_at > unit.now() - GRACE + LEFT, _NAMED)
    row = unit.session.scalar(select(CodeBundle).where(*_this(digest, project), kept))
    if row is None:
        raise NotFound(f"there is no code sha256:{digest}; push it with `baton submit --code DIR`")
    return view(row)


def pin(unit: Unit, spec: AnySpec, project: str) -> None:
    """Keep the bundle that a spec names for its job, which is submitted now into this project.

    Raises SpecError if the project does not have it.
    """
    code = spec.program.code if isinstance(spec, ProgramJobSpec) else None
    if code is not None and _used_now(unit, bundle_digest(code), project) is None:
        text = f"there is no code {code}; push it with `baton submit --code DIR`, which also submits the job"
        raise SpecError([FieldError(FIELD, text)])


def touch_named(unit: Unit) -> None:
    """Set the last use of the bundles that jobs name to now, if it is old."""
    old = CodeBundle.last_used_at < unit.now() - LEFT
    query = update(CodeBundle).where(old, _NAMED).values(last_used_at=unit.now())
    unit.session.execute(query, execution_options=_NO_SYNC)


def unused(unit: Unit, ready: ColumnElement[bool], limit: int) -> list[str]:
    """Bundles that no job names and that were not used for GRACE, as ITEM writes them."""
    query = select(ITEM).where(*_unused(unit), ready).order_by(CodeBundle.last_used_at)
    return list(unit.session.scalars(query.limit(limit)))


def expire(unit: Unit, item: str, caller: Principal) -> None:
    """Delete this bundle if it is still unused. The reconciler deletes its object after that."""
    project, _, digest = item.partition("/")
    unit.lock_names([f"code {digest}"])  # as `publish` does, which locks the two rows in the other order
    row = unit.session.scalar(select(CodeBundle).where(*_this(digest, project), *_unused(unit)).with_for_update())
    if row is None:
        return
    held = unit.session.get(DataObject, row.object, with_for_update=True, populate_existing=True)
    assert held is not None
    held.holders -= 1
    unit.session.delete(row)
    text = f"code {digest[:12]} deleted: no job names it"
    audit.record(unit, "code_deleted", caller, text, {"digest": digest})


def view(row: CodeBundle) -> CodeView:
    """A bundle, as the API returns it."""
    return CodeView(
        digest=row.digest,
        files=row.files,
        bytes=row.bytes,
        created_at=row.created_at,
        created_by=row.created_by,
        last_used_at=row.last_used_at,
    )


def bytes_of(unit: Unit, project: str) -> int:
    """The bytes of all bundles of a project."""
    mine = select(func.coalesce(func.sum(CodeBundle.bytes), 0)).where(CodeBundle.project == project)
    return unit.session.scalar(mine) or 0


def _bytes_used(unit: Unit) -> int:
    once = select(CodeBundle.digest, func.max(CodeBundle.bytes).label("bytes")).group_by(CodeBundle.digest).subquery()
    return unit.session.scalar(select(func.coalesce(func.sum(once.c.bytes), 0))) or 0


def _this(digest: str, project: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return CodeBundle.project == project, CodeBundle.digest == digest


def _unused(unit: Unit) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return CodeBundle.last_used_at < unit.now() - GRACE, ~_NAMED


def _used_now(unit: Unit, digest: str, project: str) -> CodeBundle | None:
    """The bundle, locked and counted as used now. None if it does not exist."""
    row = unit.session.scalar(select(CodeBundle).where(*_this(digest, project)).with_for_update())
    if row is not None:
        row.last_used_at = unit.now()
    return row
