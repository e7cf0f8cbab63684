"""Publishes artifacts: copies the current object of each artifact to its plain name in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, bindparam, case, select, update

from baton.domain.manifest import artifact_name
from baton.storage import BlobStore, NotFound
from service.db.base import IS_DOOMED, IS_UNPUBLISHED
from service.db.engine import Database
from service.db.operation_tables import PassFailure
from service.db.tables import Artifact, Job
from service.db.unit_of_work import Unit
from service.reconciler.isolation import ACTOR, Isolation, Item, ready
from service.reconciler.store_pass import BATCH, Pass
from service.reconciler.store_pool import StorePool, Tick

COPY_SECONDS = 300.0
"""Seconds that the copy of a large file may take. A copy reports no progress."""

MOST_TRIES = 12
"""Tries to publish an artifact whose object is missing. With the backoff of `isolation` they take about 45 minutes."""

PUBLISH = "publish"
# A separate pool, so that a long deletion does not delay publishing.
PUBLISHERS = StorePool(4, patience=COPY_SECONDS)


_UNPUBLISHED = (
    select(Artifact.job_id, Artifact.name, Artifact.object)
    .where(IS_UNPUBLISHED, Artifact.job_id.not_in(select(Job.id).where(IS_DOOMED)), ready(PUBLISH, Artifact.object))
    .order_by(Artifact.committed_at)
    .limit(BATCH)
)


def publish(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Copy each changed artifact to its plain name."""
    found: dict[str, tuple[str, str]] = {}

    def find() -> list[Item]:
        with database.read() as session:
            rows = session.execute(_UNPUBLISHED).all()
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
    """Stop trying, with an event, if the object is still missing after MOST_TRIES tries. Returns whether it stopped.

    The row is marked as published, so that the step does not find it again. The next version is published as usual.
    """
    with database.write() as session:
        unit = Unit(session, wait=False)
        job, failure = unit.lock_job(job_id, doomed=True), session.get(PassFailure, (PUBLISH, source))
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
    # If a newer version was committed meanwhile, this copy may have overwritten a newer published one: this process may
    # have been suspended during the copy. Reset `published`, so that the current version is copied again.
    published = case((Artifact.object == bindparam("source"), Artifact.object), else_=None)
    rows = [{"job": job_id, "artifact": name, "source": source} for job_id, name, source in copied]
    with database.write() as session:
        session.connection().execute(update(Artifact).where(*this).values(published=published), rows)
