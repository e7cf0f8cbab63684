"""Versions of pushed data: published, listed, pinned by jobs, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from sqlalchemy import CompoundSelect, Select, delete, exists, literal, select, union_all, update

from baton.domain.data_manifest import DataManifest
from baton.domain.data_reference import DataReference
from baton.domain.data_views import DataPage, DataView
from baton.domain.errors import FieldError, SpecError
from baton.domain.spec import AnySpec, ProgramJobSpec
from service.db import audit
from service.db.base import IS_PINNING
from service.db.data_tables import DataObject, DataVersion
from service.db.tables import Job, JobData
from service.db.unit_of_work import Unit
from service.errors import BeingDeleted, Conflict, DataInUse, NotFound
from service.principal import Principal
from service.usecases import project_quotas
from service.usecases.paging import Place, Sort, by_number
from service.usecases.pinned_data import FIELD, references

VERSIONS_READ, JOBS_SHOWN, OLD_SHOWN = 1_000, 5, 3
_REFERENCE = DataVersion.name + literal("@sha256:") + DataVersion.digest
_OF_UNFINISHED = (JobData.job_number == Job.number, IS_PINNING)
_SAME_PROJECT = Job.project == DataVersion.project
# Two conditions and no `or` of them: PostgreSQL would read all of `job_data` for that.
_UNPINNED = (
    ~exists().where(Job.data == _REFERENCE, _SAME_PROJECT, IS_PINNING),
    ~exists().where(JobData.reference == _REFERENCE, _SAME_PROJECT, *_OF_UNFINISHED),
)


def publish(unit: Unit, name: str, manifest: DataManifest, number: int, caller: Principal) -> tuple[DataView, bool]:
    """Make the manifest, whose object has this number, the newest version of the name in the caller's project.

    Return the version, and whether it is new. Raises BeingDeleted.
    """
    wanted, project = DataReference(name), caller.home
    unit.lock_names([f"data {name}"])
    held = unit.session.get(DataObject, number, with_for_update=True, populate_existing=True)
    if held is None or held.doomed_at is not None:
        raise BeingDeleted
    project_quotas.hold(unit, project)
    newest, now, digest = unit.session.scalar(_versions(wanted, project).limit(1)), unit.now(), manifest.digest
    if newest is not None and newest.digest == digest:
        newest.last_used_at = now
        return view(newest), False
    same = (DataVersion.project == project, DataVersion.name == name, DataVersion.digest == digest)
    again = delete(DataVersion).where(*same)
    new = not unit.session.scalars(again.returning(DataVersion.number)).all()
    row = DataVersion(
        project=project,
        name=name,
        digest=digest,
        manifest=number,
        kind=manifest.kind,
        files=len(manifest.files),
        bytes=manifest.bytes,
        created_at=now,
        created_by=caller.name,
        last_used_at=now,
    )
    unit.session.add(row)
    held.holders += new
    text = f"data {name} pushed: {row.files:,} files, {row.bytes:,} bytes"
    audit.record(unit, "data_pushed", caller, text, {"name": name, "digest": digest})
    return view(row), new


def page(unit: Unit, sort: Sort, cursor: str | None, limit: int) -> DataPage:
    """A page of the versions of the caller's project, or of all projects. Raises BadParameter."""
    query = select(DataVersion).where(*unit.own(DataVersion.project))
    return _page(unit, query, Place("data", sort, {"name": None}), cursor, limit)


def page_of(unit: Unit, name: str, project: str, sort: Sort, cursor: str | None, limit: int) -> DataPage:
    """A page of the versions of one name. Raises NotFound, BadParameter."""
    query = select(DataVersion).where(DataVersion.project == project, DataVersion.name == name)
    found = _page(unit, query, Place("data", sort, {"name": name}), cursor, limit)
    if not found.items and cursor is None:
        raise unknown(unit, DataReference(name), project)
    return found


def _page(unit: Unit, query: Select[DataVersion], place: Place, cursor: str | None, limit: int) -> DataPage:
    found = by_number(unit, query, DataVersion.number, place, cursor, limit)
    return DataPage(items=[view(row) for row in found.rows], next_cursor=found.next_cursor)


def find(unit: Unit, wanted: DataReference, project: str) -> DataVersion:
    """A version, the newest if no digest is given. Raises NotFound."""
    row = unit.session.scalar(_versions(wanted, project).limit(1))
    if row is None:
        raise unknown(unit, wanted, project)
    return row


def remove(unit: Unit, wanted: DataReference, caller: Principal) -> list[DataView]:
    """Delete one version, or all versions of a name, in the caller's project. Raises NotFound, DataInUse."""
    unit.lock_names([f"data {wanted.name}"])
    rows = list(unit.session.scalars(_versions(wanted, caller.home).with_for_update()))
    if not rows:
        raise unknown(unit, wanted, caller.home)
    if users := _users(unit, rows):
        raise DataInUse(f"unfinished jobs need {wanted}: {', '.join(users)}; wait for them, or cancel them")
    for row in rows:
        _drop(unit, row, caller, "deleted")
    return [view(row) for row in rows]


def pin(unit: Unit, spec: AnySpec, project: str) -> AnySpec:
    """The spec, with the digest of its data added, which must belong to this project.

    The data is kept until the job has ended. Raises SpecError.
    """
    if isinstance(spec, ProgramJobSpec):
        # In the order of names, as other submissions too: rows that are locked in different orders can deadlock.
        wanted = sorted(spec.data.items(), key=lambda one: one[1])
        pinned = {name: _pinned(unit, f"data.{name}", reference, project) for name, reference in wanted}
        return spec.model_copy(update={"data": {name: pinned[name] for name in spec.data}})
    if spec.dataset.data is None:
        return spec
    data = _pinned(unit, FIELD, spec.dataset.data, project)
    return spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"data": data})})


def _pinned(unit: Unit, field: str, reference: str, project: str) -> str:
    wanted = DataReference.parse(reference)
    row = _used_now(unit, wanted, project)
    if row is None:
        raise SpecError([FieldError(field, str(unknown(unit, wanted, project)))])
    return str(DataReference(row.name, row.digest))


def pin_again(unit: Unit, spec: Mapping[str, Any], project: str) -> None:
    """Keep the data that a job pins, because the job is retried. Raises Conflict if the data was deleted."""
    for reference in sorted(references(spec).values()):
        wanted = DataReference.parse(reference)
        if _used_now(unit, wanted, project) is None:
            text = f"the job's data {wanted} was deleted, and the job cannot continue without it"
            raise Conflict(
                f"{text}; push the same files again with `baton data push FOLDER --name {wanted.name}`, then retry"
            )


def _used_now(unit: Unit, wanted: DataReference, project: str) -> DataVersion | None:
    """The version, locked and counted as used now. None if there is none."""
    row = unit.session.scalar(_versions(wanted, project).limit(1).with_for_update())
    if row is not None:
        row.last_used_at = unit.now()
    return row


def check(unit: Unit, spec: Mapping[str, Any], project: str) -> None:
    """Raise SpecError if data that a spec names does not exist in the project. The spec is valid JSON data."""
    for field, reference in references(spec).items():
        wanted = DataReference.parse(reference)
        if unit.session.scalar(_versions(wanted, project).limit(1)) is None:
            raise SpecError([FieldError(field, str(unknown(unit, wanted, project)))])


def touch_pinned(unit: Unit) -> None:
    """Set the last use of the versions that unfinished jobs need to now."""
    # By the index of unfinished jobs: SQLite would begin a join with all of `job_data`.
    project_of = select(Job.project).where(Job.number == JobData.job_number).scalar_subquery()
    several = select(project_of, JobData.reference).where(JobData.job_number.in_(select(Job.number).where(IS_PINNING)))
    wanted: CompoundSelect[Any] = union_all(select(Job.project, Job.data).where(IS_PINNING), several)
    for project, text in set(map(tuple, unit.session.execute(wanted))):
        one = DataReference.parse(text)
        this = (DataVersion.project == project, DataVersion.name == one.name, DataVersion.digest == one.digest)
        unit.session.execute(update(DataVersion).where(*this).values(last_used_at=unit.now()))


def unused(unit: Unit, keep: timedelta, limit: int) -> list[int]:
    """The numbers of versions that no unfinished job needs and that were not used for the time `keep`."""
    query = select(DataVersion.number).where(DataVersion.last_used_at < unit.now() - keep, *_UNPINNED)
    return list(unit.session.scalars(query.order_by(DataVersion.last_used_at).limit(limit)))


def expire(unit: Unit, number: int, keep: timedelta, caller: Principal) -> None:
    """Delete this version if it is still unused."""
    row = unit.session.get(DataVersion, number, with_for_update=True, populate_existing=True)
    if row is not None and row.last_used_at < unit.now() - keep and not _users(unit, [row]):
        _drop(unit, row, caller, f"deleted: not used for {keep.total_seconds() / 86_400:g} days (BATON_DATA_RETENTION)")


def deletable(unit: Unit, project: str) -> list[DataView]:
    """The versions of a project to delete first: those that no unfinished job needs, in the order of their last use."""
    query = (
        select(DataVersion)
        .where(DataVersion.project == project, *_UNPINNED)
        .order_by(DataVersion.last_used_at)
        .limit(OLD_SHOWN)
    )
    return [view(row) for row in unit.session.scalars(query)]


def unknown(unit: Unit, wanted: DataReference, project: str) -> NotFound:
    """The error for data that does not exist in the project, with the nearest name."""
    newest = unit.session.scalar(_versions(DataReference(wanted.name), project).limit(1))
    if newest is not None:
        text = f"{wanted.name} has no version sha256:{wanted.digest}; the newest is sha256:{newest.digest}"
        return NotFound(f"{text}; `baton data list {wanted.name}` lists all")
    recent = select(DataVersion.name).where(DataVersion.project == project).order_by(DataVersion.number.desc())
    recent = recent.limit(VERSIONS_READ)
    near = get_close_matches(wanted.name, set(unit.session.scalars(recent)), 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return NotFound(f"there is no pushed data {wanted.name!r}; {hint}`baton data list` lists all")


def view(row: DataVersion) -> DataView:
    """A version, as the API returns it."""
    return DataView(
        name=row.name,
        digest=row.digest,
        kind=row.kind,
        files=row.files,
        bytes=row.bytes,
        created_at=row.created_at,
        created_by=row.created_by,
        last_used_at=row.last_used_at,
        project=row.project,
    )


def _versions(wanted: DataReference, project: str) -> Select[DataVersion]:
    query = select(DataVersion).where(DataVersion.project == project, DataVersion.name == wanted.name)
    query = query.order_by(DataVersion.number.desc())
    return query if wanted.digest is None else query.where(DataVersion.digest == wanted.digest)


def _users(unit: Unit, rows: Sequence[DataVersion]) -> list[str]:
    """Names of some unfinished jobs that need one of these versions of a project."""
    pinned = [str(DataReference(row.name, row.digest)) for row in rows]
    mine = Job.project.in_({row.project for row in rows})
    classifiers = select(Job.number, Job.name).where(Job.data.in_(pinned), mine, IS_PINNING)
    programs = select(Job.number, Job.name).where(JobData.reference.in_(pinned), mine, *_OF_UNFINISHED)
    found = {
        number: name
        for query in (classifiers, programs)
        for number, name in unit.session.execute(query.limit(JOBS_SHOWN))
    }
    return [found[number] for number in sorted(found)[:JOBS_SHOWN]]


def _drop(unit: Unit, row: DataVersion, caller: Principal, what: str) -> None:
    held = unit.session.get(DataObject, row.manifest, with_for_update=True, populate_existing=True)
    assert held is not None
    held.holders -= 1
    unit.session.delete(row)
    text = f"data {DataReference(row.name, row.digest)} {what}"
    audit.record(unit, "data_deleted", caller, text, {"name": row.name, "digest": row.digest})
