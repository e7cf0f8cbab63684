"""Finds the log of an attempt, and whether its worker may still append to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from baton.domain.states import LIVE_ATTEMPTS, AttemptState
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.errors import NotFound

SETTLED_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class AttemptLog:
    """The log of an attempt. `version`: the job's; `fence`: None before the claim; `age`: seconds since the claim.

    `ended`: the attempt has ended. `over`: no more text is expected, because the attempt was never claimed, its lease
    expired, or it ended more than SETTLED_AFTER ago.
    """

    job_id: str
    number: int
    version: int
    fence: int | None
    age: float
    ended: bool
    over: bool


def find_log(unit: Unit, job_id: str, number: int) -> AttemptLog:
    """The log of the job's attempt with this number. Raises NotFound."""
    job = unit.find_job(job_id)
    row = unit.session.scalar(select(Attempt).where(Attempt.job_id == job.id, Attempt.number == number))
    if row is None:
        last = unit.session.scalar(select(func.max(Attempt.number)).where(Attempt.job_id == job.id))
        known = f"its attempts are 1 to {last}: GET /v1/jobs/{job.id}/attempts lists them"
        raise NotFound(f"the job has no attempt {number}; {known}")
    now = unit.now()
    ended = row.state not in LIVE_ATTEMPTS
    age = (now - (row.claimed_at or now)).total_seconds()
    settled = row.finished_at is not None and now - row.finished_at > SETTLED_AFTER
    over = ended and (settled or row.fence is None or row.state == AttemptState.LOST)
    return AttemptLog(job.id, number, job.version, row.fence, age, ended, over)
