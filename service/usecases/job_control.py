"""Pause, resume and cancel a job. An order takes effect at once if no worker holds the job."""

from __future__ import annotations

from baton.domain.notifications import NotificationKind
from baton.domain.reasons import Reason
from baton.domain.states import (
    AttemptEvent,
    AttemptState,
    DesiredState,
    JobEvent,
    JobState,
    next_attempt_state,
    next_job_state,
)
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.errors import Conflict
from service.usecases import attempt_totals, project_quotas
from service.usecases.attempt_queue import queue_attempt
from service.usecases.notifications import notify

_REASONS = {
    AttemptEvent.PAUSED: Reason.PAUSED,
    AttemptEvent.CANCELLED: Reason.CANCELLED,
    AttemptEvent.FAILED: Reason.SOURCE_LOST,
}


def pause(unit: Unit, job_id: str, actor: str) -> Job:
    """Stop the job at its current step, to be resumed later. Raises TransitionError or Conflict."""
    job = unit.lock_job(job_id)
    next_job_state(JobState(job.state), JobEvent.PAUSED)
    if job.desired == DesiredState.CANCEL:
        raise Conflict("the job is being cancelled and cannot be paused")
    if job.desired != DesiredState.PAUSE:
        want(unit, job, DesiredState.PAUSE)
        unit.event(job, "pause_requested", actor, "pause requested")
        settle(unit, job, actor)
    return job


def cancel(unit: Unit, job_id: str, actor: str) -> Job:
    """End the job. Only a retry continues it. Raises TransitionError if it has already ended."""
    job = unit.lock_job(job_id)
    next_job_state(JobState(job.state), JobEvent.CANCELLED)
    if job.desired != DesiredState.CANCEL:
        want(unit, job, DesiredState.CANCEL)
        unit.event(job, "cancel_requested", actor, "cancellation requested")
        settle(unit, job, actor)
    return job


def resume(unit: Unit, job_id: str, actor: str) -> Job:
    """Resume a paused job, or withdraw a pause that is not yet carried out.

    Raises TransitionError, Conflict, ProjectQuota.
    """
    job = unit.lock_job(job_id)
    if job.desired == DesiredState.CANCEL and job.state != JobState.CANCELLED:
        raise Conflict("the job is being cancelled and cannot be resumed")
    if job.desired == DesiredState.PAUSE and job.state in (JobState.RUNNING, JobState.RECOVERING):
        want(unit, job, DesiredState.RUN)
        unit.event(job, "resumed", actor, "the pause was withdrawn before it took effect")
        return job
    _go_on(unit, job, actor)
    return job


def want(unit: Unit, job: Job, desired: DesiredState) -> None:
    """Set the desired state and its start time. A worker has limited time to carry out a pause or a cancellation.

    No time is stored for `run`: the previous release writes only the desired state, so an old time would count as the
    time of its order.
    """
    job.desired, job.desired_at = desired.value, None if desired is DesiredState.RUN else unit.now()


def _go_on(unit: Unit, job: Job, actor: str) -> None:
    unit.move_job(job, JobEvent.RESUMED)
    want(unit, job, DesiredState.RUN)
    job.reason = job.message = None
    _end_pause(unit, job)
    project_quotas.check_queued(unit, job.project)
    unit.event(job, "resumed", actor, "job resumed")
    queue_attempt(unit, job, after=0.0, actor=actor)


def _end_pause(unit: Unit, job: Job) -> None:
    if job.paused_at is not None:
        job.paused_seconds += (unit.now() - job.paused_at).total_seconds()
        job.paused_at = None


def settle(unit: Unit, job: Job, actor: str) -> None:
    """Carry out a pause or a cancellation at once if no worker holds the job."""
    attempt = unit.live_attempt(job)
    if attempt is not None and attempt.state != AttemptState.QUEUED:
        return
    if job.desired == DesiredState.PAUSE:
        end_unclaimed(unit, job, actor, attempt, AttemptEvent.PAUSED)
        mark_paused(unit, job, actor)
    elif job.desired == DesiredState.CANCEL:
        end_unclaimed(unit, job, actor, attempt, AttemptEvent.CANCELLED)
        mark_cancelled(unit, job, actor)


def end_unclaimed(unit: Unit, job: Job, actor: str, attempt: Attempt | None, event: AttemptEvent) -> None:
    """End a queued attempt, if there is one. Its message in Redis then has no effect."""
    if attempt is None:
        return
    attempt.state = next_attempt_state(AttemptState(attempt.state), event).value
    attempt.reason = _REASONS[event].value
    attempt.finished_at = unit.now()
    attempt_totals.count(unit, job, attempt)
    text = f"attempt {attempt.number} {attempt.state} before a worker claimed it"
    data = {"attempt": attempt.number, "fence": None, "reason": attempt.reason, "end_step": None}
    unit.event(job, f"attempt_{attempt.state}", actor, text, **data)


def mark_paused(unit: Unit, job: Job, actor: str, message: str | None = None, reason: Reason = Reason.PAUSED) -> None:
    """Mark the job as paused. If its owner has resumed it meanwhile, queue it at once.

    `message`: the reason for the owner. `reason`: set if the owner did not ask for the pause.
    """
    unit.move_job(job, JobEvent.PAUSED)
    job.phase, job.reason, job.message = None, reason.value, message
    job.paused_at = unit.now()
    unit.event(job, "paused", actor, _with("job paused", message), reason=job.reason)
    if job.desired == DesiredState.RUN:
        _go_on(unit, job, actor)


def pause_for(unit: Unit, job: Job, actor: str, reason: Reason, message: str) -> None:
    """Pause a job that cannot continue until its owner has fixed something and resumes it."""
    want(unit, job, DesiredState.PAUSE)
    mark_paused(unit, job, actor, message, reason)


def mark_cancelled(unit: Unit, job: Job, actor: str, message: str | None = None) -> None:
    """Mark the job as cancelled. `message`: the reason for the owner."""
    unit.move_job(job, JobEvent.CANCELLED)
    _end_pause(unit, job)
    job.phase, job.reason, job.message = None, Reason.CANCELLED.value, _with("cancelled by its owner", message)
    job.finished_at = unit.now()
    unit.event(job, "cancelled", actor, _with("job cancelled", message), reason=job.reason)
    notify(unit, job, NotificationKind.CANCELLED, job.attempts)


def _with(text: str, message: str | None) -> str:
    return f"{text}: {message}" if message else text
