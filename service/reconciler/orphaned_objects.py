"""Deletes orphaned objects: attempts wrote them and ended before the commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from baton.domain.attempt_objects import upload_fence, uploads_prefix
from baton.domain.manifest import artifact_parts, checkpoint_of, checkpoint_parts, job_prefix, programs_prefix
from baton.domain.states import HELD_ATTEMPTS, JobState
from baton.storage import BlobStore
from service.db.base import IS_COMMITTED, IS_USELESS
from service.db.engine import Database
from service.db.tables import Artifact, Attempt, Checkpoint, Garbage, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit, unlocked
from service.pauses import pause_after
from service.reconciler.isolation import Isolation, Item, ready
from service.reconciler.store_pass import Pass
from service.reconciler.store_pool import StorePool, Tick
from service.usecases import checkpoint_copies
from service.usecases.deletion import LAST_WRITE

BATCH = 20
SWEEP_EVERY = timedelta(minutes=5)
SWEEP = "sweep"
SWEEPERS = StorePool(4)
_ONE_READS = threading.Lock()


@dataclass(frozen=True)
class _Known:
    """References of one job. `last`: the newest fencing token. `held`: the token that may still write.

    `over`: the job ended so long ago that no attempt writes any more, unless a user retries it. `final`: no retry is
    possible.
    """

    job_id: str
    over: bool
    final: bool
    last: int
    held: int | None
    prefixes: frozenset[str]
    objects: frozenset[str]

    def orphan_checkpoint(self, name: str) -> bool:
        """Whether this object belongs to a checkpoint that was not committed and can never be."""
        prefix = checkpoint_of(name)
        parts = checkpoint_parts(prefix) if prefix else None
        return parts is not None and self._over(parts[2]) and prefix not in self.prefixes

    def orphan_version(self, name: str) -> bool:
        """Whether this object is an artifact version that was not committed and can never be."""
        parts = artifact_parts(name)
        return parts is not None and self._over(parts[1]) and name not in self.objects

    def orphan_part(self, name: str) -> bool:
        """Whether this object is a part of an upload that its attempt did not finish and never will."""
        fence = upload_fence(name, self.job_id)
        return fence is not None and self._over(fence)

    def _over(self, fence: int) -> bool:
        # A token above the newest was given out after the rows were read.
        return fence <= self.last and fence != self.held


def sweep(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Delete uncommitted objects of ended attempts. Checks a few jobs at a time."""
    known: dict[str, _Known] = {}

    def find() -> list[Item]:
        with database.read() as session:
            due = select(Job.id).where(Job.sweep_at <= db_now(), Job.deleted_at.is_(None), ready(SWEEP, Job.id))
            due = due.order_by(Job.sweep_at)
            return [Item(job_id, job_id) for job_id in session.scalars(due.limit(BATCH))]

    def clean(job_id: str, tick: Tick) -> None:
        known[job_id] = _read_politely(database, job_id)
        _sweep_job(database, store, known[job_id], tick)

    def plan_next(job_ids: Sequence[str]) -> None:
        """Check the jobs again later, or after the next claim if no attempt can write any more.

        Jobs whose rows are locked stay due, and so do jobs whose deletion was ordered in the meantime: `sweep_at` is
        also the time of their deletion.
        """
        with database.write() as session:
            free = unlocked(session, Job, job_ids)
            over = [job_id for job_id in free if known[job_id].over]
            kept = Job.deleted_at.is_(None)
            later = update(Job).where(Job.id.in_(set(free) - set(over)), kept)
            session.execute(later.values(sweep_at=Unit(session).now() + SWEEP_EVERY))
            for job_id in over:
                # A worker may have claimed the job after a retry in the meantime.
                unclaimed = (Job.id == job_id, Job.fence == known[job_id].last, kept)
                session.execute(update(Job).where(*unclaimed).values(sweep_at=None))

    Pass(SWEEP, store, isolation or Isolation(database), SWEEPERS).run(find, clean, plan_next, BATCH)


def _sweep_job(database: Database, store: BlobStore, known: _Known, tick: Tick) -> None:
    folder = job_prefix(known.job_id)
    delete_all(store, f"{folder}/checkpoints/", tick, known.orphan_checkpoint)
    delete_all(
        store, f"{folder}/versions/", tick, lambda name: known.orphan_version(name) and not _is_garbage(database, name)
    )
    delete_all(store, f"{uploads_prefix(known.job_id)}/", tick, known.orphan_part)
    if known.over and known.final:
        # Only manifests list the objects that a checkpoint uses. This job is never resumed, so delete all of them.
        delete_all(store, f"{programs_prefix(known.job_id)}/", tick)


def delete_all(store: BlobStore, prefix: str, tick: Tick, unwanted: Callable[[str], bool] = lambda _name: True) -> int:
    """Delete the unwanted objects below the prefix, one by one during the listing: there may be many.

    Returns the number of deleted objects.
    """
    deleted = 0
    for blob in store.list(prefix):
        tick()
        if unwanted(blob.name):
            store.delete(blob.name)
            deleted += 1
            tick()
    return deleted


def _is_garbage(database: Database, name: str) -> bool:
    """Whether the object is already garbage with a scheduled time. Searches by name: garbage rows have no job."""
    with database.read() as session:
        return session.get(Garbage, name) is not None


def _read_politely(database: Database, job_id: str) -> _Known:
    """Read the references of the job, and then pause for the same time, in one thread at a time.

    The jobs of a fleet are due at the same time. Without the pause, heartbeats wait for seconds while they are read.
    """
    with _ONE_READS, pause_after(1), database.read() as session:
        return _known(Unit(session), job_id)


def _known(unit: Unit, job_id: str) -> _Known:
    session = unit.session
    # Only these columns: the whole row with its spec takes most of the time.
    job = session.execute(select(Job.state, Job.fence, Job.finished_at).where(Job.id == job_id)).one()
    held = session.scalar(select(Attempt.fence).where(Attempt.job_id == job_id, Attempt.state.in_(HELD_ATTEMPTS)))
    # Two queries, each with an index, so that not all checkpoint rows of the job are read.
    there = select(Checkpoint.prefix).where(Checkpoint.job_id == job_id)
    prefixes = {*session.scalars(there.where(IS_COMMITTED)), *session.scalars(there.where(IS_USELESS))}
    prefixes |= checkpoint_copies.targets(unit, job_id)
    objects = frozenset(session.scalars(select(Artifact.object).where(Artifact.job_id == job_id)))
    over = job.finished_at is not None and job.finished_at < unit.now() - LAST_WRITE
    final = job.state == JobState.SUCCEEDED
    return _Known(job_id, over, final, job.fence, held, frozenset(prefixes), objects)
