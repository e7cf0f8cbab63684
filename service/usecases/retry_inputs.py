"""Input for the retry policy (baton.domain.retry_policy) from the rows of a job's attempts."""

from __future__ import annotations

from sqlalchemy import or_, select

from baton.domain.lenient_reading import find_stored
from baton.domain.reasons import Reason
from baton.domain.retry_history import (
    FORGIVEN_AFTER,
    Trace,
    failures_that_count,
    outages_in_a_row,
    repeated_at,
)
from baton.domain.retry_policy import EndedAttempt
from baton.domain.states import AttemptState
from baton.domain.wire import TRAINS, Finish
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.usecases.attempt_totals import before_retry
from service.usecases.worker_avoidance import data_changes, others

WINDOW = 1_100
"""How many of the newest attempts are read. It exceeds the greatest `max_failures` that a spec may have."""


def ended_attempt(unit: Unit, job: Job, attempt: Attempt) -> EndedAttempt:
    """Input for the retry policy: the ended attempt, and the failures before it since the last retry of the job."""
    reason = attempt.reason or Reason.EXCEPTION.value
    failed = attempt.state == AttemptState.FAILED
    traces = _traces(unit, job) if failed else []
    return EndedAttempt(
        reason=reason,
        message=attempt.message or reason,
        failures=failures_that_count(traces),
        without_progress=job.without_progress,
        restore_failures=job.restore_failures,
        outages=outages_in_a_row(traces),
        repeated_at=repeated_at(traces),
        data_changes=data_changes(unit, job) if reason == Reason.DATA_CHANGED else 0,
        others=reason == Reason.DATA_CHANGED and others(unit, job, attempt),
    )


def _traces(unit: Unit, job: Job) -> list[Trace]:
    unit.session.flush()
    relevant = or_(Attempt.state == AttemptState.FAILED.value, Attempt.covered_seconds >= FORGIVEN_AFTER)
    oldest = max(before_retry(job).attempts, job.attempts - WINDOW)
    newest = (Attempt.job_id == job.id, Attempt.number > oldest)
    query = select(Attempt).where(*newest, relevant).order_by(Attempt.number.desc())
    return [_trace(row) for row in unit.session.scalars(query)]


def _trace(row: Attempt) -> Trace:
    ending = find_stored(Finish, row.ending)
    trained = ending is not None and ending.phase in TRAINS
    return Trace(
        reason=row.reason or None,
        failed=row.state == AttemptState.FAILED,
        covered_seconds=row.covered_seconds,
        at_step=ending.at_step if ending and trained else None,
        fault=ending.fault if ending and trained else None,
        device=row.device,
    )
