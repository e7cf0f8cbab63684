"""The objects of pushed data (manifests and packs): which exist, which are needed, which may be deleted.

Names contain digests, so a deleted name can be used again later. A push asks which packs are missing, and sends only
the missing packs. No other pack of the push may be deleted before the manifest of the push names it. Therefore:

1. The row of an object is written before the object, and deleted after it. An object without a row counts as missing.
2. The answer "this object exists" sets `used_at` in a transaction that locks the row. An upload does the same before it
   writes. An object may be deleted only if nothing holds it and `used_at` is older than GRACE. An answer does not set a
   `used_at` again that is less than FRESH old, so a push has 23 hours between the answer and its manifest.
3. A deletion first sets `doomed_at`, in a transaction that locks the row and checks rule 2 again. The object then
   counts as missing, and uploads of it are refused with `busy` until the row is deleted. So no upload writes an object
   that an earlier deletion may still delete.
4. The deletion removes the object and then the row. If a reconciler stops between these steps, a doomed row remains,
   and the next reconciler takes it over after TAKE_OVER. No reconciler deletes an object later than half of that time
   after it set `doomed_at`. So two deletions of one name do not overlap, and no deletion runs after an upload.
5. The manifest's transaction locks the rows of its packs and counts them as held. If a row is doomed or missing, the
   answer is `packs-missing`, and the client sends this pack again.

Projects share the objects. `project_objects` has the objects that a project may read, because it has sent their bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute

from baton.domain.data_manifest import DATA
from service.db.base import IS_UNHELD
from service.db.data_tables import DataObject, DataPart, DataVersion
from service.db.project_table import ProjectObject
from service.db.unit_of_work import Unit
from service.errors import BeingDeleted, NotFound
from service.usecases import project_quotas

GRACE = timedelta(days=1)
FRESH = timedelta(hours=1)
"""After the service found an object in the store, it does not check the object again for this time."""
TAKE_OVER = timedelta(minutes=10)
CHUNK = 1_000
"""Maximum number of rows that one transaction changes, because on SQLite all other writers wait for it."""
_NO_SYNC = {"synchronize_session": False}


@dataclass(frozen=True)
class Known:
    """An object with a row. `seen`: the service recently found it in the store. `held`: whether it is needed."""

    number: int
    size: int
    seen: bool
    held: bool


def _locked(condition: ColumnElement[bool]) -> Select[DataObject]:
    """Rows in the order of their numbers, so that two transactions cannot wait for each other."""
    query = select(DataObject).where(condition).order_by(DataObject.number)
    return query.with_for_update().execution_options(populate_existing=True)


def use(unit: Unit, names: Collection[str], project: str) -> dict[str, Known]:
    """Those of the objects that the project has, by name. They are not deleted within the next GRACE - FRESH.

    Objects that only other projects have are left out, so that no answer tells that they exist: a project gets such an
    object only by sending its bytes.
    """
    query = _locked(DataObject.name.in_(names)).where(DataObject.doomed_at.is_(None), _had_by(project))
    rows, now = list(unit.session.scalars(query)), unit.now()
    for row in rows:
        if row.used_at < now - FRESH:
            row.used_at = now
    _used_by(unit, project, [row.number for row in rows])
    return {row.name: _known(unit, row) for row in rows}


def _had_by(project: str) -> ColumnElement[bool]:
    return exists().where(ProjectObject.project == project, ProjectObject.object == DataObject.number)


def _needed_by(project: Any, number: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Whether a version of the project needs the object: as its manifest, or as a part of that."""
    parts = exists().where(
        DataPart.part == number, DataVersion.manifest == DataPart.whole, DataVersion.project == project
    )
    return exists().where(DataVersion.manifest == number, DataVersion.project == project) | parts


def _used_by(unit: Unit, project: str, numbers: Collection[int]) -> None:
    old = (ProjectObject.project == project, ProjectObject.object.in_(numbers))
    query = update(ProjectObject).where(*old, ProjectObject.used_at < unit.now() - FRESH)
    unit.session.execute(query.values(used_at=unit.now()), execution_options=_NO_SYNC)


def sent(unit: Unit, number: int, project: str) -> None:
    """Record that a project has sent the bytes of the object with this row number. Raises BeingDeleted, NotFound."""
    if unit.session.get(DataObject, number, with_for_update=True, populate_existing=True) is None:
        raise BeingDeleted
    project_quotas.hold(unit, project)
    row = unit.session.get(ProjectObject, (project, number))
    if row is None:
        unit.session.add(ProjectObject(project=project, object=number, used_at=unit.now()))
    else:
        row.used_at = unit.now()


def reserve(unit: Unit, name: str, length: int) -> Known:
    """Write the row of an object of `length` bytes that is about to be written. Raises BeingDeleted."""
    unit.lock_names([name])
    row, now = unit.session.scalar(_locked(DataObject.name == name)), unit.now()
    if row is None:
        row = DataObject(name=name, size=length, used_at=now, holders=0)
        unit.session.add(row)
        unit.session.flush()
    if row.doomed_at is not None:
        raise BeingDeleted
    row.used_at = now
    if not row.holders:
        row.size = length
    return _known(unit, row)


def seen(unit: Unit, names: Collection[str]) -> None:
    """Record that these objects were found in the store, or written to it."""
    now = unit.now()
    for row in unit.session.scalars(_locked(DataObject.name.in_(names))):
        row.seen_at = now


def hold(unit: Unit, whole: int, parts: Mapping[str, int]) -> list[str]:
    """Count these packs (row numbers by name) as parts of a manifest. If some are deleted, only return their names.

    A repeated call changes nothing.
    """
    rows = {row.name: row for row in unit.session.scalars(_locked(DataObject.number.in_(parts.values())))}
    gone = [name for name in parts if name not in rows or rows[name].doomed_at is not None]
    if gone:
        return gone
    already = select(DataPart.part).where(DataPart.whole == whole, DataPart.part.in_(parts.values()))
    known, now = set(unit.session.scalars(already)), unit.now()
    for row in rows.values():
        if row.number not in known:
            unit.session.add(DataPart(whole=whole, part=row.number))
            row.holders += 1
            row.used_at = now
    return []


def size(unit: Unit, name: str, project: str) -> int:
    """The size in bytes of an object that the project has. Raises NotFound."""
    # The previous release does not record what a project has sent, but the project's versions name it.
    here = _had_by(project) | _needed_by(project, DataObject.number)
    query = select(DataObject.size).where(DataObject.name == name, DataObject.doomed_at.is_(None), here)
    found = unit.session.scalar(query)
    if found is None:
        raise NotFound(f"there is no {name}; `baton data list` lists what was pushed")
    return found


def bytes_used(unit: Unit, project: str | None = None) -> int:
    """The sum of the sizes of all manifests and packs, or of those that a project has."""
    total = select(func.coalesce(func.sum(DataObject.size), 0))
    if project is None:
        return unit.session.scalar(total.where(DataObject.name.startswith(f"{DATA}/", autoescape=True))) or 0
    mine = total.join(ProjectObject, ProjectObject.object == DataObject.number).where(ProjectObject.project == project)
    return unit.session.scalar(mine) or 0


def release_unneeded(unit: Unit, limit: int) -> bool:
    """Take objects from projects of which no version needs them, a day after their last use.

    Looks at up to `limit` rows of projects. Returns whether there may be more.
    """
    old = select(ProjectObject).where(ProjectObject.used_at < unit.now() - GRACE).order_by(ProjectObject.used_at)
    rows = unit.session.scalars(old.limit(limit).with_for_update(skip_locked=True)).all()
    keys = tuple_(ProjectObject.project, ProjectObject.object).in_([(row.project, row.object) for row in rows])
    needed_by = _needed_by(ProjectObject.project, ProjectObject.object)
    needed = set(unit.session.execute(select(ProjectObject.project, ProjectObject.object).where(keys, needed_by)))
    for row in rows:
        if (row.project, row.object) in needed:
            row.used_at = unit.now()  # looked at again in a day
        else:
            unit.session.delete(row)
    return len(rows) == limit


def doom(unit: Unit, ready: ColumnElement[bool], limit: int) -> list[str]:
    """Mark objects that may be deleted, and those that an earlier deletion has left. Return their names."""
    now = unit.now()
    unused = DataObject.doomed_at.is_(None) & (DataObject.used_at < now - GRACE)
    query = select(DataObject).where(IS_UNHELD, or_(unused, DataObject.doomed_at < now - TAKE_OVER), ready)
    rows = unit.session.scalars(query.order_by(DataObject.used_at).limit(limit).with_for_update(skip_locked=True)).all()
    for row in rows:
        row.doomed_at = now
    return [row.name for row in rows]


def let_go(unit: Unit, name: str) -> bool:
    """Delete up to CHUNK parts of a doomed manifest. Return whether it may have more."""
    whole = unit.session.scalar(select(DataObject.number).where(DataObject.name == name))
    query = select(DataPart.part).where(DataPart.whole == whole).order_by(DataPart.part).limit(CHUNK)
    parts = list(unit.session.scalars(query))
    if not parts:
        return False
    for row in unit.session.scalars(_locked(DataObject.number.in_(parts))):
        row.holders -= 1
    unit.session.execute(delete(DataPart).where(DataPart.whole == whole, DataPart.part.in_(parts)))
    return len(parts) == CHUNK


def forget(unit: Unit, names: Sequence[str]) -> None:
    """Delete the rows of objects that were deleted from the store."""
    gone = (DataObject.name.in_(names), DataObject.doomed_at.is_not(None))
    unit.session.execute(delete(DataObject).where(*gone), execution_options=_NO_SYNC)


def without_row(unit: Unit, names: Collection[str]) -> list[str]:
    """Those of the names that have no row."""
    known = set(unit.session.scalars(select(DataObject.name).where(DataObject.name.in_(names))))
    return [name for name in names if name not in known]


def adopt(unit: Unit, found: Mapping[str, int]) -> None:
    """Write rows for objects that are in the store without a row. `found`: their sizes in bytes, by name."""
    unit.lock_names(found)
    now = unit.now()
    rows = (DataObject(name=name, size=found[name], used_at=now, holders=0) for name in without_row(unit, found))
    unit.session.add_all(rows)


def unsee(unit: Unit) -> None:
    """Clear `seen_at` of all objects, because the service now has another store."""
    some = select(DataObject.number).where(DataObject.seen_at > unit.now() - FRESH)
    unit.session.execute(
        update(DataObject).where(DataObject.number.in_(some)).values(seen_at=None), execution_options=_NO_SYNC
    )


def chunks(names: Iterable[str]) -> list[list[str]]:
    """The names, divided into lists of at most CHUNK names."""
    every = list(names)
    return [every[start : start + CHUNK] for start in range(0, len(every), CHUNK)]


def _known(unit: Unit, row: DataObject) -> Known:
    fresh = row.seen_at is not None and row.seen_at > unit.now() - FRESH
    return Known(row.number, row.size, fresh, row.holders > 0)
