"""The known workers: one row per supervisor process, with the time it was last seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.exc import IntegrityError

from baton.domain.extensions import PACKAGE_KINDS, extension, names_of
from baton.domain.lenient_reading import names
from baton.domain.plan_views import ExtensionView
from baton.domain.states import HELD_ATTEMPTS, WorkerState
from baton.domain.views import WorkerView
from baton.domain.wire import WorkerInfo, WorkerReport
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Job, Worker
from service.db.unit_of_work import Unit, clean

FORGET_AFTER = timedelta(days=1)
ENDED_SHOWN = timedelta(hours=1)
"""How long a worker that ended normally stays in the list."""

LONGEST_REST = timedelta(days=1)


def report(unit: Unit, message: WorkerReport) -> None:
    """Record that a worker is alive or that it ends."""
    now = unit.now()
    if message.ended:
        # Update the row only if it still belongs to this process: another process may have taken the name meanwhile.
        same = (Worker.name == clean(message.name), Worker.host == clean(message.host), Worker.pid == message.pid)
        unit.session.execute(update(Worker).where(*same).values(ended_at=now, last_seen_at=now, busy=False))
        return
    row = saw(unit, message, busy=message.busy, now=now)
    row.queues = [clean(queue) for queue in message.queues]
    row.rests_until, row.rests_why = None, None
    if message.rest is not None:
        seconds = min(message.rest.seconds, LONGEST_REST.total_seconds())
        row.rests_until, row.rests_why = now + timedelta(seconds=seconds), clean(message.rest.why)


def saw(unit: Unit, info: WorkerInfo, *, busy: bool, now: datetime) -> Worker:
    """Record contact with a worker, and what it reports about itself. Returns its locked row."""
    name = clean(info.name)
    row = unit.session.get(Worker, name, with_for_update=True) or _new(unit, name, now)
    if row.since is None or row.ended_at is not None or (row.host, row.pid) != (clean(info.host), info.pid):
        row.since, row.ended_at = now, None
    row.host, row.pid, row.version, row.device = clean(info.host), info.pid, clean(info.version), clean(info.device)
    row.busy, row.last_seen_at, row.extensions = busy, now, list(info.extensions)
    row.store_id, trouble = (info.store.id, info.store.problem) if info.store else (None, None)
    row.refusal = info.problem or trouble
    row.protocol, row.spec_version, row.project = info.protocol, info.spec_version, unit.project
    return row


def refused(unit: Unit, info: WorkerInfo, why: str) -> None:
    """Record a worker that gets no work, and why."""
    saw(unit, info, busy=False, now=unit.now()).refusal = clean(why)


def _new(unit: Unit, name: str, now: datetime) -> Worker:
    row = Worker(name=name, host="", pid=0, version="", device="", queues=[], busy=False, last_seen_at=now)
    try:
        with unit.session.begin_nested():
            unit.session.add(row)
    except IntegrityError:  # another transaction inserted it first
        return unit.session.execute(select(Worker).where(Worker.name == name).with_for_update()).scalar_one()
    return row


def saw_again(unit: Unit, name: str | None, now: datetime) -> None:
    """Record that a worker sent a heartbeat, and is therefore alive and busy."""
    unit.session.execute(update(Worker).where(Worker.name == name).values(last_seen_at=now, busy=True))


def gave_back(unit: Unit, name: str | None) -> None:
    """Record that a worker returned its attempt and is idle."""
    unit.session.execute(update(Worker).where(Worker.name == name).values(last_seen_at=unit.now(), busy=False))


def extensions(unit: Unit) -> dict[str, list[str]]:
    """By installed extension: the names of the workers that have it, serve the project and were seen within a day."""
    rows = unit.session.execute(
        select(Worker.name, Worker.extensions).where(Worker.last_seen_at > unit.now() - FORGET_AFTER, *_seen_by(unit))
    )
    found: dict[str, list[str]] = {}
    for name, installed in rows:
        for one in names(installed):
            found.setdefault(one, []).append(name)
    return dict(sorted(found.items()))


def extension_views(unit: Unit) -> list[ExtensionView]:
    """The installed extensions, as the API returns them. That a worker runs programs is no name for a spec."""
    installed = extensions(unit)
    return [
        ExtensionView(kind=kind, name=name, workers=sorted(installed[extension(kind, name)]))
        for kind in PACKAGE_KINDS
        for name in names_of(kind, installed)
    ]


class _Held(NamedTuple):
    """The attempt that a worker holds."""

    job_id: str
    job_name: str
    attempt: int


def list_workers(unit: Unit, lost_after: float) -> list[WorkerView]:
    """Workers seen within a day, by name. Then the workers that ended within the last hour, latest first.

    For the caller of a project: those that serve it, and of what they train only jobs of the project.
    A worker is `lost` if it was silent for `lost_after` seconds and did not report its end.
    """
    now = unit.now()
    seen = Worker.last_seen_at > now - FORGET_AFTER
    shown = or_(Worker.ended_at.is_(None), Worker.ended_at > now - ENDED_SHOWN)
    held, lost_before = _held(unit), now - timedelta(seconds=lost_after)
    # Sort in Python. For ORDER BY, SQLite would use the index of the key and read all workers that ever existed.
    rows = sorted(unit.session.scalars(select(Worker).where(seen, shown, *_seen_by(unit))), key=lambda row: row.name)
    found = [_view(row, held.get(row.name), lost_before, now) for row in rows]
    ended = [one for one in found if one.ended_at is not None]
    ended.sort(key=lambda one: one.ended_at or now, reverse=True)
    return [one for one in found if one.ended_at is None] + ended


def _seen_by(unit: Unit) -> tuple[ColumnElement[bool], ...]:
    return () if unit.project is None else (or_(Worker.project.is_(None), Worker.project == unit.project),)


def _held(unit: Unit) -> dict[str | None, _Held]:
    query = select(Attempt.worker, Attempt.job_id, Job.name, Attempt.number).join(Job, Job.id == Attempt.job_id)
    query = query.where(Job.deleted_at.is_(None), *unit.own(Job.project))
    rows = unit.session.execute(query.where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS)))
    return {row.worker: _Held(row.job_id, row.name, row.number) for row in rows}


def _rests(row: Worker, now: datetime) -> bool:
    return row.rests_until is not None and row.rests_until > now


def _state(row: Worker, held: _Held | None, lost_before: datetime, now: datetime) -> WorkerState:
    if row.refusal and not held:
        return WorkerState.REFUSED
    if row.ended_at is not None:
        return WorkerState.ENDED
    if row.last_seen_at < lost_before:
        return WorkerState.LOST
    if held or row.busy:
        return WorkerState.BUSY
    return WorkerState.RESTING if _rests(row, now) else WorkerState.IDLE


def _view(row: Worker, held: _Held | None, lost_before: datetime, now: datetime) -> WorkerView:
    rests = _rests(row, now)
    return WorkerView(
        name=row.name,
        host=row.host,
        pid=row.pid,
        version=row.version,
        device=row.device,
        queues=names(row.queues),
        extensions=names(row.extensions),
        state=_state(row, held, lost_before, now).value,
        job_id=held.job_id if held else None,
        last_seen_at=row.last_seen_at,
        job_name=held.job_name if held else None,
        attempt=held.attempt if held else None,
        since=row.since,
        ended_at=row.ended_at,
        refusal=row.refusal,
        rests_until=row.rests_until if rests else None,
        rests_why=row.rests_why if rests else None,
        protocol=row.protocol,
        spec_version=row.spec_version,
    )
