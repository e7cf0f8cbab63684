"""Lists of what belongs to one job: stages, attempts, checkpoints, history, artifacts. Each has pages.

All raise NotFound for an unknown job, and BadParameter for a cursor of another list, job or sort.
"""

from __future__ import annotations

from sqlalchemy import select

from baton.domain.states import CheckpointState
from baton.domain.views import ArtifactView, AttemptView, CheckpointView, History, Listing, StageView
from service.db.base import IS_PAST, IS_USELESS
from service.db.tables import Artifact, Attempt, Checkpoint, Epoch, Job, Stage
from service.db.unit_of_work import Unit, known_form
from service.errors import NotFound
from service.usecases import epoch_rows, views
from service.usecases.heartbeat_age import HeartbeatTimes
from service.usecases.history import epochs_done
from service.usecases.paging import Place, Sort, by_number, in_memory

PAST = 100
"""How many of the newest deleted or quarantined checkpoints are listed."""


def stages(unit: Unit, job_id: str, sort: Sort, cursor: str | None, limit: int) -> Listing[StageView]:
    """The stages of a job."""
    job = unit.find_job(job_id)
    place, query = Place("stages", sort, {"job": job.id}), select(Stage).where(Stage.job_id == job.id)
    found, done = by_number(unit, query, Stage.stage, place, cursor, limit), epochs_done(unit, job.id)
    items = [views.stage_view(row, done.get(row.stage, 0)) for row in found.rows]
    return Listing(items=items, next_cursor=found.next_cursor)


def attempts(
    unit: Unit, job_id: str, beats: HeartbeatTimes, sort: Sort, cursor: str | None, limit: int
) -> Listing[AttemptView]:
    """The attempts of a job."""
    job = unit.find_job(job_id)
    place, query = Place("attempts", sort, {"job": job.id}), select(Attempt).where(Attempt.job_id == job.id)
    found, now = by_number(unit, query, Attempt.number, place, cursor, limit), unit.now()
    items = [views.attempt_view(row, beats, now) for row in found.rows]
    return Listing(items=items, next_cursor=found.next_cursor)


def attempt(unit: Unit, attempt_id: str, beats: HeartbeatTimes) -> AttemptView:
    """One attempt. Raises NotFound, also if its job is being deleted, or is one of another project."""
    query = select(Attempt).join(Job, Job.id == Attempt.job_id)
    query = query.where(Job.deleted_at.is_(None), *unit.own(Job.project))
    row = unit.session.scalar(query.where(Attempt.id == known_form(attempt_id, "attempt")))
    if row is None:
        raise NotFound(f"there is no attempt {attempt_id[:64]!r}")
    return views.attempt_view(row, beats, unit.now())


def checkpoints(unit: Unit, job_id: str, sort: Sort, cursor: str | None, limit: int) -> Listing[CheckpointView]:
    """The existing checkpoints of a job and the newest PAST of the others.

    `roles`: the pointers that currently name a checkpoint.
    """
    job = unit.find_job(job_id)
    pointers = unit.pointers(job.id)
    newest_first, of_job = select(Checkpoint).order_by(Checkpoint.number.desc()), Checkpoint.job_id == job.id
    bad = newest_first.where(of_job, IS_USELESS, Checkpoint.state == CheckpointState.QUARANTINED).limit(PAST)
    past = newest_first.where(of_job, IS_PAST).limit(PAST)
    # Index by number: a quarantined checkpoint with existing objects may also be among the newest PAST ones.
    rows = {row.number: row for query in (bad, past) for row in unit.session.scalars(query)}
    rows |= {row.number: row for row in unit.committed_checkpoints(job.id)}
    place = Place("checkpoints", sort, {"job": job.id})
    found = in_memory(list(rows.values()), lambda row: (row.number,), place, cursor, limit, int)
    items = [views.checkpoint_view(row, pointers) for row in found.rows]
    return Listing(items=items, next_cursor=found.next_cursor)


def history(unit: Unit, job_id: str, after: int, sort: Sort, cursor: str | None, limit: int) -> History:
    """The recorded epochs after number `after`."""
    job = unit.find_job(job_id)
    query = select(Epoch).where(Epoch.job_id == job.id, Epoch.epoch > after)
    place = Place("history", sort, {"job": job.id, "after": after})
    found = by_number(unit, query, Epoch.epoch, place, cursor, limit)
    return History(items=[epoch_rows.shown(row) for row in found.rows], next_cursor=found.next_cursor)


def artifacts(unit: Unit, job_id: str, sort: Sort, cursor: str | None, limit: int) -> Listing[ArtifactView]:
    """The artifacts of a job."""
    job = unit.find_job(job_id)
    rows = unit.session.scalars(select(Artifact).where(Artifact.job_id == job.id)).all()
    place = Place("artifacts", sort, {"job": job.id})
    found = in_memory(rows, lambda row: (row.name,), place, cursor, limit, str)
    return Listing(items=[views.artifact_view(row) for row in found.rows], next_cursor=found.next_cursor)
