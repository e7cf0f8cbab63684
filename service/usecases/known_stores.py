"""The stores that were used with this database, and checkpoints that the right store must contain."""

from __future__ import annotations

from sqlalchemy import select

from baton.domain.states import ACTIVE_JOBS, CheckpointState
from baton.domain.wire import CheckpointRole
from service.db.operation_tables import KnownStore
from service.db.tables import Checkpoint, Job, Pointer
from service.db.unit_of_work import Unit
from service.usecases import data_objects

SAMPLE = 20


def last_used(unit: Unit) -> KnownStore | None:
    """The store that was used last."""
    return unit.session.scalar(select(KnownStore).order_by(KnownStore.last_used_at.desc()).limit(1))


def use(unit: Unit, store_id: str, url: str) -> None:
    """Record that this store is in use from now on."""
    now, before = unit.now(), last_used(unit)
    if before is not None and before.id != store_id:
        data_objects.unsee(unit)
    row = unit.session.get(KnownStore, store_id)
    if row is None:
        row = KnownStore(id=store_id, url=url, first_used_at=now, last_used_at=now)
        unit.session.add(row)
    row.url, row.last_used_at = url, now


def prefixes_to_resume(unit: Unit) -> list[str]:
    """The newest checkpoints of some unfinished jobs. These jobs cannot continue without them."""
    query = (
        select(Checkpoint.prefix)
        .join(Pointer, Pointer.checkpoint_id == Checkpoint.id)
        .join(Job, Job.id == Pointer.job_id)
        .where(Pointer.role == CheckpointRole.LATEST.value, Job.state.in_([*ACTIVE_JOBS]))
    )
    return list(unit.session.scalars(query.limit(SAMPLE)))


def newest_prefixes(unit: Unit) -> list[str]:
    """The newest committed checkpoints of all jobs."""
    query = select(Checkpoint.prefix).where(Checkpoint.state == CheckpointState.COMMITTED)
    return list(unit.session.scalars(query.order_by(Checkpoint.number.desc()).limit(SAMPLE)))
