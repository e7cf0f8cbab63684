"""The end of a copy of checkpoints into a job: the job may start, or it fails because its source is lost."""

from __future__ import annotations

from sqlalchemy import select

from baton.domain.manifest import own_name
from baton.domain.reasons import Reason
from baton.domain.states import TERMINAL_JOBS, AttemptEvent, AttemptState, CheckpointState
from service.db.tables import Attempt, Checkpoint, CheckpointCopy, Job
from service.db.unit_of_work import Unit, new_id
from service.usecases import attempt_outcomes, checkpoint_copies, origins
from service.usecases.checkpoint_copies import Copied
from service.usecases.checkpoints import point
from service.usecases.job_control import end_unclaimed
from service.usecases.queue_order import limits_of, place


def drop_if_over(unit: Unit, job_id: str) -> bool:
    """Give up the copy if the job has ended or is being deleted. Returns whether there is nothing left to copy."""
    job, row = unit.lock_job(job_id, doomed=True), unit.session.get(CheckpointCopy, job_id)
    if job.state not in TERMINAL_JOBS and job.deleted_at is None:
        return row is None
    if row is not None:
        unit.session.delete(row)
        job.sweep_at = unit.now()  # makes the objects due for deletion that were already copied
    return True


def complete(unit: Unit, job_id: str, actor: str) -> None:
    """Add the rows of the copies, after all their objects are in the store, and let the job start. Idempotent."""
    if drop_if_over(unit, job_id):
        return
    job, row = unit.lock_job(job_id), unit.session.get_one(CheckpointCopy, job_id)
    copies = checkpoint_copies.read(row)
    newest = select(Attempt.id).where(Attempt.job_id == job.id).order_by(Attempt.number.desc()).limit(1)
    attempt_id = unit.session.scalars(newest).one()
    for copy in copies:
        added = _checkpoint(unit, job, attempt_id, copy)
        unit.session.add(added)
        unit.session.flush()
        for role in {*copy.roles, *(["latest"] if copy is copies[-1] else [])}:
            point(unit, job.id, role, added.id)
    start, last = origins.start_of(job), copies[-1]
    if start is not None and start.keeps_position:
        job.furthest = last.position.model_dump()
    unit.session.delete(row)
    text = f"{checkpoint_copies.in_words(job)} is complete".removeprefix("the ")
    size = sum(copy.bytes for copy in copies)
    unit.event(job, "checkpoint_copied", actor, text, source=job.source_job, checkpoints=len(copies), bytes=size)
    _let_start(unit, job)


def _checkpoint(unit: Unit, job: Job, attempt_id: str, copy: Copied) -> Checkpoint:
    return Checkpoint(
        id=new_id(),
        job_id=job.id,
        attempt_id=attempt_id,
        fence=copy.fence,
        prefix=copy.target(job.id),
        manifest_crc32c=copy.manifest_crc32c,
        **copy.position.model_dump(),
        bytes=copy.bytes,
        seconds=0.0,
        roles=copy.roles,
        needs=[own_name(job.id, need) for need in copy.needs],
        state=CheckpointState.COMMITTED.value,
        committed_at=unit.now(),
    )


def _let_start(unit: Unit, job: Job) -> None:
    attempt = unit.live_attempt(job)
    if attempt is not None and attempt.state == AttemptState.QUEUED:
        attempt.not_before, attempt.dispatched_at = unit.now(), None
        place(attempt, job, limits_of(unit.session))


def fail(unit: Unit, job_id: str, text: str, actor: str) -> None:
    """Fail the job, because the checkpoint that it starts from cannot be copied. A retry requests the copy again."""
    if drop_if_over(unit, job_id):
        return
    job, row = unit.lock_job(job_id), unit.session.get_one(CheckpointCopy, job_id)
    row.state, job.sweep_at = checkpoint_copies.FAILED, unit.now()
    end_unclaimed(unit, job, actor, unit.live_attempt(job), AttemptEvent.FAILED)
    attempt_outcomes.fail(unit, job, Reason.SOURCE_LOST, text, actor)
