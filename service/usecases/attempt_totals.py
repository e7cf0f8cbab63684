"""Totals of a job's ended attempts, stored in the job's row, so that a request does not read all attempts.

`jobs.spent` holds counts and seconds by bucket. `jobs.held_seconds` is the time for which workers held the attempts.
Both change in the transaction that ends an attempt. An older release does not write them. The stored number of attempts
shows whether they are complete. If not, the totals are computed from the attempts' rows.

A retry starts the budgets of a job again, but not its totals: `jobs.spent` also holds what was used up before the last
retry. An older release that ends an attempt drops this part; all attempts then count for the budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select

from baton.domain.goodput import Bucket, attempt_seconds
from baton.domain.lenient_reading import mapping, number_or
from baton.domain.states import LIVE_ATTEMPTS, AttemptState
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.usecases import goodput

INTERRUPTED = frozenset({AttemptState.PREEMPTED, AttemptState.LOST, AttemptState.FAILED})


@dataclass(frozen=True)
class Totals:
    """Totals of the ended attempts: how many, how many interrupted, seconds held by workers, seconds by bucket."""

    attempts: int = 0
    interruptions: int = 0
    held: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)

    def plus(self, row: Attempt) -> Totals:
        """The totals with one more ended attempt."""
        ended = row.finished_at or row.created_at
        held = max(0.0, (ended - row.claimed_at).total_seconds()) if row.claimed_at else 0.0
        spent = attempt_seconds(goodput.span(row), ended)
        return Totals(
            self.attempts + 1,
            self.interruptions + (row.state in INTERRUPTED),
            self.held + held,
            {bucket.value: self.seconds.get(bucket.value, 0.0) + spent[bucket] for bucket in Bucket},
        )


@dataclass(frozen=True)
class BeforeRetry:
    """What the job had used up at its last retry: ended attempts, and seconds held by workers. Budgets ignore both."""

    attempts: int = 0
    held: float = 0.0


NOTHING = Totals()
EMPTY: dict[str, Any] = {"attempts": 0, "interruptions": 0, "seconds": {}}
"""The value of `spent` for a new job."""

BEFORE_RETRY = "before_retry"
"""The key in `spent` of what was used up before the last retry."""

_NEWEST = (
    select(Attempt)
    .join(Job, (Job.id == Attempt.job_id) & (Job.attempts == Attempt.number))
    .where(Job.id.in_(bindparam("job_ids", expanding=True)))
    .options(goodput.WITHOUT_ENDING)
)


def count(unit: Unit, job: Job, attempt: Attempt) -> Totals:
    """Add an attempt that has just ended. Call this once per attempt, after all its columns are set."""
    before = _stored(job)
    if before is None or before.attempts != attempt.number - 1:
        return recount(unit, job)
    return _store(job, before.plus(attempt))


def of_job(unit: Unit, job: Job, *, live: bool) -> Totals:
    """The totals of a job. The caller holds its row lock. `live`: one of its attempts has not ended."""
    found = _stored(job)
    return found if found is not None and found.attempts == job.attempts - live else recount(unit, job)


def recount(unit: Unit, job: Job) -> Totals:
    """Compute the totals from all attempts of the job and store them. The caller holds the job's row lock."""
    unit.session.flush()
    return _store(job, _from_rows(unit, [job.id])[job.id])


def start_budgets_again(unit: Unit, job: Job) -> None:
    """Let only later attempts count for budgets. The caller holds the job's row lock, and all attempts have ended."""
    found = of_job(unit, job, live=False)
    job.spent = {**mapping(job.spent), BEFORE_RETRY: {"attempts": found.attempts, "held": found.held}}


def before_retry(job: Job) -> BeforeRetry:
    """What the job had used up at its last retry. Zero if it was never retried."""
    return read_before_retry(mapping(job.spent).get(BEFORE_RETRY))


def read_before_retry(stored: object) -> BeforeRetry:
    """The stored form of `BeforeRetry`, read leniently."""
    found = mapping(stored)
    return BeforeRetry(int(number_or(found.get("attempts"))), number_or(found.get("held")))


def of_jobs(unit: Unit, jobs: Iterable[Job], newest: Mapping[str, Attempt]) -> dict[str, Totals]:
    """The totals of many jobs, read-only. `newest`: the newest attempt of each job that has one."""
    found, missing = {}, []
    for job in jobs:
        row, stored = newest.get(job.id), _stored(job)
        live = row is not None and row.state in LIVE_ATTEMPTS
        if stored is not None and stored.attempts == job.attempts - live:
            found[job.id] = stored
        else:
            missing.append(job.id)
    return found | _from_rows(unit, missing) if missing else found


def newest_attempts(unit: Unit, job_ids: Sequence[str]) -> dict[str, Attempt]:
    """The newest attempt of each job, by job id. Reads one row per job."""
    return {row.job_id: row for row in unit.session.scalars(_NEWEST, {"job_ids": list(job_ids)})}


def _stored(job: Job) -> Totals | None:
    kept = mapping(job.spent)
    if job.held_seconds is None or not isinstance(kept.get("attempts"), int):
        return None
    seconds = {name: number_or(value) for name, value in mapping(kept.get("seconds")).items()}
    return Totals(kept["attempts"], int(number_or(kept.get("interruptions"))), job.held_seconds, seconds)


def _store(job: Job, found: Totals) -> Totals:
    before = mapping(job.spent).get(BEFORE_RETRY)
    job.spent = {
        "attempts": found.attempts,
        "interruptions": found.interruptions,
        "seconds": dict(found.seconds),
        **({} if before is None else {BEFORE_RETRY: before}),
    }
    job.held_seconds = found.held
    return found


def _from_rows(unit: Unit, job_ids: Sequence[str]) -> dict[str, Totals]:
    found = dict.fromkeys(job_ids, NOTHING)
    ended = Attempt.state.not_in(LIVE_ATTEMPTS)
    query = select(Attempt).where(Attempt.job_id.in_(job_ids), ended).options(goodput.WITHOUT_ENDING)
    for row in unit.session.scalars(query.order_by(Attempt.number)):
        found[row.job_id] = found[row.job_id].plus(row)
    return found
