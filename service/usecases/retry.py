"""Retries a failed or cancelled job: the same job continues from its last good checkpoint."""

from __future__ import annotations

from baton.domain.lenient_reading import mapping
from baton.domain.states import TERMINAL_JOBS, DesiredState, JobEvent, JobState, shown_status
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.errors import Conflict
from service.usecases import attempt_totals, checkpoint_copies, project_quotas, pushed_data
from service.usecases.attempt_queue import queue_attempt
from service.usecases.job_control import want


def retry(unit: Unit, job_id: str, actor: str) -> Job:
    """Queue a new attempt of a failed or cancelled job. The job's budgets start again, and its totals continue.

    The worker of an earlier attempt may still be uploading. Its fencing token is outdated, so its writes are refused.

    Raises:
        NotFound: there is no such job.
        Conflict: the job has not ended, it succeeded, or its pushed data was deleted.
        ProjectQuota: too many jobs of the project are queued.
    """
    job = unit.lock_job(job_id)
    _check(job)
    pushed_data.pin_again(unit, mapping(job.spec), job.project)
    project_quotas.check_queued(unit, job.project)
    _begin_again(unit, job)
    newest = next(iter(unit.good_checkpoints(job.id)), None)
    start = f"at step {newest.global_step}" if newest else "from the beginning, because it has no checkpoint"
    if checkpoint_copies.is_pending(unit, job):
        start = f"after {checkpoint_copies.in_words(job)}"
    step = newest.global_step if newest else 0
    unit.event(job, "retried", actor, f"job retried: it continues {start}", retry=job.retries, global_step=step)
    queue_attempt(unit, job, after=0.0, actor=actor)
    return job


def _check(job: Job) -> None:
    if job.state == JobState.SUCCEEDED:
        text = "the job succeeded: there is nothing to retry"
        raise Conflict(f"{text}; to train it further, submit a new job: `baton submit --from {job.id} --set …`")
    if job.state not in TERMINAL_JOBS:
        status = shown_status(JobState(job.state), DesiredState(job.desired))
        hint = "resume it" if job.state == JobState.PAUSED else "wait until it has ended"
        raise Conflict(f"the job is {status}: only a failed or cancelled job can be retried; {hint}")


def _begin_again(unit: Unit, job: Job) -> None:
    unit.move_job(job, JobEvent.RETRIED)
    want(unit, job, DesiredState.RUN)
    attempt_totals.start_budgets_again(unit, job)
    job.without_progress = job.restore_failures = 0
    job.retries += 1
    if job.finished_at is not None:
        # Between its end and the retry the job was not supposed to run. This time counts as a pause, not as waiting.
        job.paused_seconds += max(0.0, (unit.now() - job.finished_at).total_seconds())
    job.reason = job.message = job.finished_at = None
