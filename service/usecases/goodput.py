"""Goodput of a job from its rows: seconds by bucket. Also the training time that is lost with a bad checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import defer

from baton.domain.goodput import Life, Span, attempt_seconds, job_seconds
from baton.domain.lenient_reading import number_or
from baton.domain.states import LIVE_ATTEMPTS, AttemptState, JobState
from service.db.tables import Attempt, Checkpoint, Job
from service.db.unit_of_work import Unit

DIGITS = 3
WITHOUT_ENDING = defer(Attempt.ending)
_KEEPS = {*LIVE_ATTEMPTS, AttemptState.SUCCEEDED}


def of_job(job: Job, spent: Mapping[str, float], newest: Attempt | None, now: datetime) -> dict[str, float]:
    """Seconds of the job by bucket, their total, and the productive share. Seconds are rounded to milliseconds.

    `spent`: seconds by bucket of the ended attempts. `newest`: the newest attempt, if there is one.
    """
    live = [newest] if newest is not None and newest.state in LIVE_ATTEMPTS else []
    recovers = job.state == JobState.RECOVERING
    life = Life(job.created_at, job.finished_at, job.paused_seconds, job.paused_at, recovers)
    return _rounded(job_seconds(life, [span(row) for row in live], now, spent))


def of_attempt(row: Attempt, now: datetime) -> dict[str, float]:
    """Seconds of the attempt by bucket, to milliseconds."""
    return _rounded({bucket.value: seconds for bucket, seconds in attempt_seconds(span(row), now).items()})


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in seconds.items()}


def span(row: Attempt) -> Span:
    """The attempt as input for baton.domain.goodput."""
    return Span(
        created_at=row.created_at,
        claimed_at=row.claimed_at,
        finished_at=row.finished_at,
        measured=_numbers(row.seconds),
        covered=row.covered_seconds,
        kept=row.state in _KEEPS,
        phase=row.phase,
        # Older releases do not write `recovers`. Without it, assume an interruption before all attempts but the first.
        recovers=row.number > 1 if row.recovers is None else row.recovers,
    )


def _numbers(stored: object) -> dict[str, float]:
    """The valid entries of the seconds by bucket. One bad row of an attempt must not make its job unreadable."""
    if not isinstance(stored, dict):
        return {}
    seconds = {name: number_or(value) for name, value in stored.items()}
    return {name: value for name, value in seconds.items() if math.isfinite(value)}


def roll_back(unit: Unit, job: Job, newest: Checkpoint | None) -> None:
    """Count training after this checkpoint (None: all training) as lost, because no checkpoint contains it any more."""
    unit.session.flush()
    later = update(Attempt).where(Attempt.job_id == job.id)
    if newest is not None:
        author = unit.session.get_one(Attempt, newest.attempt_id)
        author.covered_seconds = min(author.covered_seconds, newest.trained_seconds)
        later = later.where(Attempt.number > author.number)
    unit.session.execute(later.values(covered_seconds=0.0), execution_options={"synchronize_session": "fetch"})
