"""The slow steps of a pass, those that wait for the store: publishing, and deleting what nobody needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import case, delete, or_, select, update

from core.domain.manifest import artifact_name, artifact_parts, checkpoint_parts, job_prefix, programs_prefix
from core.domain.states import HELD_ATTEMPTS, TERMINAL_JOBS
from core.storage import BlobStore, NotFound, StoreError
from service.db.base import IS_COMMITTED, IS_USELESS, UNPUBLISHED, CheckpointState
from service.db.engine import Database
from service.db.tables import Artifact, Attempt, Checkpoint, Garbage, Job
from service.db.types import db_now
from service.db.unit import Unit

BATCH = 20
NAMES = 500
SWEEP_EVERY = timedelta(minutes=5)
SWEEP_AFTER_END = timedelta(hours=2)


def publish(database: Database, store: BlobStore) -> None:
    """Copy each artifact that changed to its plain name."""
    query = select(Artifact.job_id, Artifact.name, Artifact.object)
    with database.read() as session:
        rows = session.execute(query.where(UNPUBLISHED).order_by(Artifact.committed_at).limit(BATCH)).all()
    failure: StoreError | None = None
    for job_id, name, source in rows:
        try:
            store.copy(source, artifact_name(job_id, name))
        except NotFound as error:  # it will never be there: said once, not tried for ever
            failure = error
        except StoreError as error:  # what cannot be copied now must not hold up those after it
            failure = error
            continue
        _published(database, job_id, name, source)
    if failure is not None:
        raise failure


def _published(database: Database, job_id: str, name: str, source: str) -> None:
    this = (Artifact.job_id == job_id, Artifact.name == name)
    # Moved on while this was copied, by a conductor that stood still for long even: what lies under the plain name now
    # may be older than what was published meanwhile, so it is copied again.
    published = case((Artifact.object == source, source), else_=None)
    with database.write() as session:
        session.execute(update(Artifact).where(*this).values(published=published))


def collect_checkpoints(database: Database, store: BlobStore) -> None:
    """Delete the objects of checkpoints that are marked as deleted, and of bad ones once their job has ended."""
    useless = or_(
        Checkpoint.state == CheckpointState.DELETED,
        (Checkpoint.state == CheckpointState.QUARANTINED) & Job.state.in_([*TERMINAL_JOBS]),
    )
    query = select(Checkpoint.id, Checkpoint.prefix).join(Job, Job.id == Checkpoint.job_id)
    with database.read() as session:
        rows = session.execute(query.where(IS_USELESS, useless).limit(BATCH)).all()
    for checkpoint_id, prefix in rows:
        for blob in list(store.list(prefix + "/")):
            store.delete(blob.name)
        with database.write() as session:
            session.execute(update(Checkpoint).where(Checkpoint.id == checkpoint_id).values(collected_at=db_now()))


def collect_garbage(database: Database, store: BlobStore) -> None:
    """Delete old versions of artifacts once their readers had time to finish."""
    with database.read() as session:
        names = list(session.scalars(select(Garbage.object).where(Garbage.not_before <= db_now()).limit(BATCH)))
    for name in names:
        store.delete(name)
        with database.write() as session:
            session.execute(delete(Garbage).where(Garbage.object == name))


@dataclass(frozen=True)
class _Known:
    """What the rows of one job name. `last`: the newest fence; `held`: the one that may still write.

    `over`: the job has ended so long ago that nobody writes any more.
    """

    job_id: str
    over: bool
    last: int
    held: int | None
    prefixes: frozenset[str]
    objects: frozenset[str]

    def orphan_checkpoint(self, name: str) -> bool:
        """Whether this object belongs to a save that was never committed and never will be."""
        prefix = name.rpartition("/")[0]
        parts = checkpoint_parts(prefix)
        return parts is not None and self._over(parts[2]) and prefix not in self.prefixes

    def orphan_version(self, name: str) -> bool:
        """Whether this object is a version of an artifact that nothing names."""
        parts = artifact_parts(name)
        return parts is not None and self._over(parts[1]) and name not in self.objects

    def _over(self, fence: int) -> bool:
        # A fence above the newest was given out after the rows were read.
        return fence <= self.last and fence != self.held


def sweep(database: Database, store: BlobStore) -> None:
    """Delete what attempts that are over wrote and never committed. Looks at a few jobs a time."""
    with database.read() as session:
        query = select(Job.id).where(Job.sweep_at <= db_now()).order_by(Job.sweep_at)
        job_ids = list(session.scalars(query.limit(BATCH)))
    for job_id in job_ids:
        _sweep_job(database, store, job_id)


def _sweep_job(database: Database, store: BlobStore, job_id: str) -> None:
    with database.read() as session:
        known = _known(Unit(session), job_id)
    for blob in list(store.list(f"{job_prefix(job_id)}/checkpoints/")):
        if known.orphan_checkpoint(blob.name):
            store.delete(blob.name)
    versions = [blob.name for blob in store.list(f"{job_prefix(job_id)}/versions/") if known.orphan_version(blob.name)]
    leaving = _leaving(database, versions)
    for name in versions:
        if name not in leaving:
            store.delete(name)
    if known.over:
        # Only manifests tell which of them a checkpoint names; but nobody goes on from a job that has ended.
        for blob in list(store.list(f"{programs_prefix(job_id)}/")):
            store.delete(blob.name)
    _plan_next(database, known)


def _leaving(database: Database, names: list[str]) -> set[str]:
    """Of these objects those that are garbage already, and have their time. By name: garbage knows no job."""
    found: set[str] = set()
    with database.read() as session:
        for start in range(0, len(names), NAMES):
            query = select(Garbage.object).where(Garbage.object.in_(names[start : start + NAMES]))
            found.update(session.scalars(query))
    return found


def _plan_next(database: Database, known: _Known) -> None:
    """Again in a while; never again where nobody can write any more."""
    with database.write() as session:
        unit = Unit(session)
        unit.lock_job(known.job_id).sweep_at = None if known.over else unit.now() + SWEEP_EVERY


def _known(unit: Unit, job_id: str) -> _Known:
    session, job = unit.session, unit.find_job(job_id)
    held = session.scalar(select(Attempt.fence).where(Attempt.job_id == job_id, Attempt.state.in_(HELD_ATTEMPTS)))
    # Two questions, each with an index of its own: not the rows of all checkpoints that the job ever had.
    there = select(Checkpoint.prefix).where(Checkpoint.job_id == job_id)
    prefixes = frozenset(session.scalars(there.where(IS_COMMITTED))) | frozenset(
        session.scalars(there.where(IS_USELESS))
    )
    objects = frozenset(session.scalars(select(Artifact.object).where(Artifact.job_id == job_id)))
    over = job.finished_at is not None and job.finished_at < unit.now() - SWEEP_AFTER_END
    return _Known(job_id, over, job.fence, held, prefixes, objects)
