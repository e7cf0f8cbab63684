"""Which workers there are, by when they were seen last."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from core.domain.extensions import KINDS, extension, names_of
from core.domain.plan_views import ExtensionView
from core.domain.states import HELD_ATTEMPTS
from core.domain.stored import names
from core.domain.views import WorkerView
from core.domain.wire import WorkerInfo, WorkerReport
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Worker
from service.db.unit import Unit, clean

FORGET_AFTER = timedelta(days=1)


def report(unit: Unit, message: WorkerReport) -> None:
    """A worker says that it is there."""
    row = saw(unit, message, busy=message.busy, now=unit.now())
    row.queues = [clean(queue) for queue in message.queues]


def saw(unit: Unit, info: WorkerInfo, *, busy: bool, now: datetime) -> Worker:
    """Note a worker that spoke to the service."""
    name = clean(info.name)
    row = unit.session.get(Worker, name, with_for_update=True) or _new(unit, name, now)
    row.host, row.pid, row.version, row.device = clean(info.host), info.pid, clean(info.version), clean(info.device)
    row.busy, row.last_seen_at, row.extensions = busy, now, list(info.extensions)
    row.protocol, row.spec_version = info.protocol, info.spec_version
    return row


def refused(unit: Unit, info: WorkerInfo, why: str) -> None:
    """Note why the worker did not get an attempt: it is shown until it gets one."""
    saw(unit, info, busy=False, now=unit.now()).refusal = clean(why)


def _new(unit: Unit, name: str, now: datetime) -> Worker:
    row = Worker(name=name, host="", pid=0, version="", device="", queues=[], busy=False, last_seen_at=now)
    try:
        with unit.session.begin_nested():
            unit.session.add(row)
    except IntegrityError:  # another transaction noted it first
        return unit.session.execute(select(Worker).where(Worker.name == name).with_for_update()).scalar_one()
    return row


def saw_again(unit: Unit, name: str | None, now: datetime) -> None:
    """A heartbeat also says that its worker is there."""
    unit.session.execute(update(Worker).where(Worker.name == name).values(last_seen_at=now, busy=True))


def extensions(unit: Unit) -> dict[str, list[str]]:
    """What workers that were seen within a day have installed beside Baton, and the names of those workers."""
    rows = unit.session.execute(
        select(Worker.name, Worker.extensions).where(Worker.last_seen_at > unit.now() - FORGET_AFTER)
    )
    found: dict[str, list[str]] = {}
    for name, installed in rows:
        for one in names(installed):
            found.setdefault(one, []).append(name)
    return dict(sorted(found.items()))


def extension_views(unit: Unit) -> list[ExtensionView]:
    """The same for people."""
    installed = extensions(unit)
    return [
        ExtensionView(kind=kind, name=name, workers=sorted(installed[extension(kind, name)]))
        for kind in KINDS
        for name in names_of(kind, installed)
    ]


def list_workers(unit: Unit, lost_after: float) -> list[WorkerView]:
    """All workers seen within a day, by name; `lost` when silent for `lost_after` seconds."""
    now = unit.now()
    rows = unit.session.scalars(select(Worker).where(Worker.last_seen_at > now - FORGET_AFTER).order_by(Worker.name))
    held = select(Attempt.worker, Attempt.job_id).where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS))
    jobs = dict(unit.session.execute(held).all())
    return [_view(row, jobs.get(row.name), now - timedelta(seconds=lost_after)) for row in rows]


def _view(row: Worker, job_id: str | None, lost_before: datetime) -> WorkerView:
    state = "lost" if row.last_seen_at < lost_before else "busy" if job_id or row.busy else "idle"
    return WorkerView(
        name=row.name,
        host=row.host,
        pid=row.pid,
        version=row.version,
        device=row.device,
        queues=names(row.queues),
        extensions=names(row.extensions),
        state=state,
        job_id=job_id,
        last_seen_at=row.last_seen_at,
        refusal=row.refusal,
    )
