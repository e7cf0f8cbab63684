"""The steps that wait for the store: publish artifacts, delete checkpoints and objects that are no longer needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, Select, bindparam, case, delete, select, update

from baton.domain.manifest import artifact_name, artifact_parts
from baton.domain.states import TERMINAL_JOBS
from baton.storage import BlobStore, NotFound
from service.db.base import IS_DELETED, IS_QUARANTINED, IS_UNPUBLISHED
from service.db.engine import Database
from service.db.operation_tables import PassFailure
from service.db.tables import Artifact, Checkpoint, Garbage, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit, new_id
from service.reconciler.isolation import ACTOR, Isolation, Item, ready
from service.reconciler.orphaned_objects import delete_all
from service.reconciler.store_pass import BATCH, Pass
from service.reconciler.store_pool import StorePool, Tick

SLICE = 500
"""Quarantined checkpoints that a turn reads, starting at a random job. Those of running jobs must be kept."""

COPY_SECONDS = 300.0
"""Seconds that the copy of a large file may take. A copy reports no progress."""

MOST_TRIES = 12
"""Tries to publish an artifact whose object is missing. With the backoff of `isolation` they take about 45 minutes."""

PUBLISH, CHECKPOINTS, GARBAGE = "publish", "delete_checkpoint", "delete_object"
# Each step has a separate crew: a long deletion does not delay publishing.
PUBLISHERS, COLLECTORS, CLEANERS = StorePool(4, patience=COPY_SECONDS), StorePool(8), StorePool(8)


def publish(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Copy each artifact that changed to its plain name."""
    found: dict[str, tuple[str, str]] = {}
    query = select(Artifact.job_id, Artifact.name, Artifact.object).where(
        IS_UNPUBLISHED, ready(PUBLISH, Artifact.object)
    )

    def find() -> list[Item]:
        with database.read() as session:
            rows = session.execute(query.order_by(Artifact.committed_at).limit(BATCH)).all()
        found.update({source: (job_id, name) for job_id, name, source in rows})
        return [Item(source, job_id) for job_id, _, source in rows]

    def copy(source: str, _tick: Tick) -> None:
        try:
            store.copy(source, artifact_name(*found[source]))
        except NotFound:
            if not _gave_up(database, source, *found[source]):
                raise

    def mark(sources: Sequence[str]) -> None:
        _mark_published(database, [(*found[source], source) for source in sources])

    Pass(PUBLISH, store, isolation or Isolation(database), PUBLISHERS).run(find, copy, mark, BATCH)


def _gave_up(database: Database, source: str, job_id: str, name: str) -> bool:
    """Give up an artifact whose object is missing after MOST_TRIES tries. One event says so. Returns whether it did.

    The row is marked as published, so that it is not found again. The next version of the artifact is published.
    """
    with database.write() as session:
        unit = Unit(session, wait=False)
        job, failure = unit.lock_job(job_id), session.get(PassFailure, (PUBLISH, source))
        tries = (failure.tries if failure else 0) + 1
        if tries < MOST_TRIES:
            return False
        this = (Artifact.job_id == job_id, Artifact.name == name, Artifact.object == source)
        query = update(Artifact).where(*this, IS_UNPUBLISHED).values(published=source)
        changed = session.execute(query, execution_options={"synchronize_session": False})
        if cast("CursorResult[Any]", changed).rowcount:
            text = f"artifact {name} cannot be published: its object {source} is missing, and is not tried again"
            unit.event(job, "item_failed", ACTOR, f"{text} (tries: {tries})", step=PUBLISH, tries=tries, given_up=True)
        return True


def _mark_published(database: Database, copied: Sequence[tuple[str, str, str]]) -> None:
    this = (Artifact.job_id == bindparam("job"), Artifact.name == bindparam("artifact"))
    # Moved on while this was copied, by a reconciler that stood still for long even: what lies under the plain name now
    # may be older than what was published meanwhile, so it is copied again.
    published = case((Artifact.object == bindparam("source"), Artifact.object), else_=None)
    rows = [{"job": job_id, "artifact": name, "source": source} for job_id, name, source in copied]
    with database.write() as session:
        session.connection().execute(update(Artifact).where(*this).values(published=published), rows)


def collect_checkpoints(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Delete the objects of checkpoints that are marked as deleted, and of bad ones once their job has ended."""
    prefixes: dict[str, str] = {}

    def find() -> list[Item]:
        with database.read() as session:
            rows = [*session.execute(_deleted()), *(row for query in _quarantined() for row in session.execute(query))]
        prefixes.update({checkpoint_id: prefix for checkpoint_id, prefix, _ in rows})
        return [Item(checkpoint_id, job_id) for checkpoint_id, _, job_id in rows[:BATCH]]

    def remove(checkpoint_id: str, tick: Tick) -> None:
        delete_all(store, prefixes[checkpoint_id] + "/", tick)

    def mark(ids: Sequence[str]) -> None:
        with database.write() as session:
            session.execute(update(Checkpoint).where(Checkpoint.id.in_(ids)).values(collected_at=db_now()))

    Pass(CHECKPOINTS, store, isolation or Isolation(database), COLLECTORS).run(find, remove, mark, BATCH)


def _deleted() -> Select[str, str, str]:
    query = select(Checkpoint.id, Checkpoint.prefix, Checkpoint.job_id)
    return query.where(IS_DELETED, ready(CHECKPOINTS, Checkpoint.id)).order_by(Checkpoint.number).limit(BATCH)


def _quarantined() -> list[Select[str, str, str]]:
    """Those of ended jobs, among SLICE rows. Random ids give each row its turn, however many rows must be kept."""
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
