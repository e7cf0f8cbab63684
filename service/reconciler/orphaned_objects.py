"""Deletes orphaned objects: attempts wrote them and ended before the commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from baton.domain.manifest import artifact_parts, checkpoint_parts, job_prefix, programs_prefix
from baton.domain.states import HELD_ATTEMPTS
from baton.storage import BlobStore
from service.db.base import IS_COMMITTED, IS_USELESS
from service.db.engine import Database
from service.db.tables import Artifact, Attempt, Checkpoint, Garbage, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.reconciler.isolation import Isolation, Item, ready
from service.reconciler.store_pass import Pass
from service.reconciler.store_pool import StorePool, Tick

BATCH = 20
SWEEP_EVERY = timedelta(minutes=5)
SWEEP_AFTER_END = timedelta(hours=2)
SWEEP = "sweep"
SWEEPERS = StorePool(4)


@dataclass(frozen=True)
class _Known:
    """References of one job. `last`: the newest fencing token. `held`: the token that may still write.

    `over`: the job ended so long ago that no attempt writes any more.
    """

    job_id: str
    over: bool
    last: int
    held: int | None
    prefixes: frozenset[str]
    objects: frozenset[str]

    def orphan_checkpoint(self, name: str) -> bool:
        """Whether this object belongs to a checkpoint that was not committed and can never be."""
        prefix = name.rpartition("/")[0]
        parts = checkpoint_parts(prefix)
        return parts is not None and self._over(parts[2]) and prefix not in self.prefixes

    def orphan_version(self, name: str) -> bool:
        """Whether this object is an artifact version that was not committed and can never be."""
        parts = artifact_parts(name)
        return parts is not None and self._over(parts[1]) and name not in self.objects

    def _over(self, fence: int) -> bool:
        # A token above the newest was given out after the rows were read.
        return fence <= self.last and fence != self.held


def sweep(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Delete uncommitted objects of ended attempts. Checks a few jobs at a time."""
    known: dict[str, _Known] = {}

    def find() -> list[Item]:
        with database.read() as session:
            due = select(Job.id).where(Job.sweep_at <= db_now(), ready(SWEEP, Job.id)).order_by(Job.sweep_at)
            return [Item(job_id, job_id) for job_id in session.scalars(due.limit(BATCH))]

    def clean(job_id: str, tick: Tick) -> None:
        with database.read() as session:
            known[job_id] = _known(Unit(session), job_id)
        _sweep_job(database, store, known[job_id], tick)

    def plan_next(job_ids: Sequence[str]) -> None:
        """Check the jobs again later. Never again if no attempt can write any more."""
        over = {job_id for job_id in job_ids if known[job_id].over}
        with database.write() as session:
            for ids, at in ((over, None), (set(job_ids) - over, Unit(session).now() + SWEEP_EVERY)):
                if ids:
                    session.execute(update(Job).where(Job.id.in_(ids)).values(sweep_at=at))

    Pass(SWEEP, store, isolation or Isolation(database), SWEEPERS).run(find, clean, plan_next, BATCH)


def _sweep_job(database: Database, store: BlobStore, known: _Known, tick: Tick) -> None:
    folder = job_prefix(known.job_id)
    delete_all(store, f"{folder}/checkpoints/", tick, known.orphan_checkpoint)
    delete_all(
        store, f"{folder}/versions/", tick, lambda name: known.orphan_version(name) and not _is_garbage(database, name)
    )
    if known.over:
        # Only manifests list the objects that a checkpoint uses. An ended job is never resumed, so delete all of them.
        delete_all(store, f"{programs_prefix(known.job_id)}/", tick)


def delete_all(store: BlobStore, prefix: str, tick: Tick, unwanted: Callable[[str], bool] = lambda _name: True) -> None:
    """Delete the unwanted objects below the prefix, one by one during the listing: there may be many."""
    for blob in store.list(prefix):
        tick()
        if unwanted(blob.name):
            store.delete(blob.name)
            tick()


def _is_garbage(database: Database, name: str) -> bool:
    """Whether the object is already garbage with a scheduled time. Searches by name: garbage rows have no job."""
    with database.read() as session:
        return session.get(Garbage, name) is not None


def _known(unit: Unit, job_id: str) -> _Known:
    session, job = unit.session, unit.find_job(job_id)
    held = session.scalar(select(Attempt.fence).where(Attempt.job_id == job_id, Attempt.state.in_(HELD_ATTEMPTS)))
    # Two queries, each with an index. Avoids reading all checkpoint rows that the job ever had.
    there = select(Checkpoint.prefix).where(Checkpoint.job_id == job_id)
    prefixes = {*session.scalars(there.where(IS_COMMITTED)), *session.scalars(there.where(IS_USELESS))}
    objects = frozenset(session.scalars(select(Artifact.object).where(Artifact.job_id == job_id)))
    over = job.finished_at is not None and job.finished_at < unit.now() - SWEEP_AFTER_END
    return _Known(job_id, over, job.fence, held, frozenset(prefixes), objects)
