"""Deletes checkpoints and artifact versions that are no longer needed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, delete, select, update

from baton.domain.manifest import artifact_parts
from baton.domain.states import TERMINAL_JOBS
from baton.storage import BlobStore
from service.db.base import IS_DELETED, IS_QUARANTINED
from service.db.engine import Database
from service.db.tables import Checkpoint, Garbage, Job
from service.db.types import db_now
from service.db.unit_of_work import new_id
from service.reconciler.isolation import Isolation, Item, ready
from service.reconciler.orphaned_objects import delete_all
from service.reconciler.store_pass import BATCH, Pass
from service.reconciler.store_pool import StorePool, Tick

SLICE = 500
"""Quarantined checkpoints that a turn reads, starting at a random job. Those of running jobs must be kept."""

CHECKPOINTS, GARBAGE = "delete_checkpoint", "delete_object"
# Separate pools: a long deletion of one kind does not delay the other.
COLLECTORS, CLEANERS = StorePool(8), StorePool(8)


def collect_checkpoints(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Delete the objects of checkpoints that are marked as deleted, and of bad ones once their job has ended."""
    prefixes: dict[str, str] = {}
    query = select(Checkpoint.id, Checkpoint.prefix, Checkpoint.job_id)
    deleted = query.where(IS_DELETED, ready(CHECKPOINTS, Checkpoint.id)).order_by(Checkpoint.number).limit(BATCH)

    def find() -> list[Item]:
        with database.read() as session:
            rows = list(session.execute(deleted))
            for quarantined in _quarantined():
                rows += session.execute(quarantined)
        prefixes.update({checkpoint_id: prefix for checkpoint_id, prefix, _ in rows})
        return [Item(checkpoint_id, job_id) for checkpoint_id, _, job_id in rows[:BATCH]]

    def remove(checkpoint_id: str, tick: Tick) -> None:
        delete_all(store, prefixes[checkpoint_id] + "/", tick)

    def mark(ids: Sequence[str]) -> None:
        with database.write() as session:
            session.execute(update(Checkpoint).where(Checkpoint.id.in_(ids)).values(collected_at=db_now()))

    Pass(CHECKPOINTS, store, isolation or Isolation(database), COLLECTORS).run(find, remove, mark, BATCH)


def _quarantined() -> list[Select[str, str, str]]:
    """Quarantined checkpoints of ended jobs, among SLICE rows from a random start.

    With a fixed start, SLICE rows of running jobs, which must be kept, would hide all later rows.
    """
    start, queries = new_id(), []
    for part in (Checkpoint.job_id >= start, Checkpoint.job_id < start):
        some = select(Checkpoint.id, Checkpoint.prefix, Checkpoint.job_id).where(IS_QUARANTINED, part)
        rows = some.order_by(Checkpoint.job_id).limit(SLICE).subquery()
        ended = select(rows).join(Job, Job.id == rows.c.job_id).where(Job.state.in_([*TERMINAL_JOBS]))
        queries.append(ended.where(ready(CHECKPOINTS, rows.c.id)).limit(BATCH))
    return queries


def collect_garbage(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Delete old versions of artifacts once their readers had time to finish."""
    due = select(Garbage.object).where(Garbage.not_before <= db_now(), ready(GARBAGE, Garbage.object))

    def find() -> list[Item]:
        with database.read() as session:
            names = session.scalars(due.order_by(Garbage.not_before).limit(BATCH)).all()
        return [Item(name, parts[0] if (parts := artifact_parts(name)) else None) for name in names]

    def mark(names: Sequence[str]) -> None:
        with database.write() as session:
            session.execute(delete(Garbage).where(Garbage.object.in_(names)))

    Pass(GARBAGE, store, isolation or Isolation(database), CLEANERS).run(
        find, lambda name, _tick: store.delete(name), mark, BATCH
    )
