"""Checks `limits.max_runtime`: the time for which workers have held a job, over all attempts since its last retry."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Row, Select, exists, func, select

from baton.domain.lenient_reading import mapping, number_or
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.uptime import Served
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Event, Job
from service.db.unit_of_work import Unit
from service.usecases import attempt_totals

Held: TypeAlias = tuple[str, str, datetime | None, float, Any, Any]
"""Ids of attempt and job, time of the claim, seconds held by ended attempts, those before the last retry, `limits`."""

SINCE_SPEC = 3
"""The version of the spec that introduced `limits`. Jobs with an older one are not read."""


def limit_of(limits: object) -> float:
    """The limit in seconds from a job's stored `limits`; infinite without one."""
    found = number_or(mapping(limits).get("max_runtime"), math.inf)
    return found if found > 0 else math.inf


def left(unit: Unit, job: Job, attempt: Attempt) -> float | None:
    """Seconds for which the worker may still hold the job. None without a limit. The caller holds the job's row lock.

    The time in the queue and in pauses does not count, because no worker holds the job then.
    """
    limit = limit_of(mapping(job.spec).get("limits"))
    if math.isinf(limit):
        return None
    return max(0.0, limit - _held(unit, job, live=True) - _seconds(attempt.claimed_at, unit.now()))


def used_up(unit: Unit, job: Job) -> str | None:
    """The text for the owner if the ended attempts have used up the limit, else None."""
    limit = limit_of(mapping(job.spec).get("limits"))
    if math.isinf(limit) or _held(unit, job, live=False) < limit:
        return None
    return f"workers held the job for {_shown(limit)}, which is its limit (limits.max_runtime)"


def raised(unit: Unit, job: Job, attempt: Attempt) -> bool:
    """Whether the limit was raised after the claim of the ended attempt, whose worker ended at the old one."""
    limit = limit_of(mapping(job.spec).get("limits"))
    if attempt.claimed_at is None or _held(unit, job, live=False) >= limit:
        return False
    of_job = (Event.job_id == job.id, Event.kind == "changed", Event.at >= attempt.claimed_at)
    return unit.session.scalar(select(exists().where(*of_job))) or False


def overran(unit: Unit, job: Job, attempt: Attempt, served: Served, patience: float) -> str | None:
    """Why the service ends a held attempt: its worker did not end it within `patience` seconds. None: no reason."""
    limit = limit_of(mapping(job.spec).get("limits"))
    if math.isinf(limit) or attempt.claimed_at is None:
        return None
    here = max(0.0, limit - _held(unit, job, live=True))
    if not served.passed(attempt.claimed_at, here + patience):
        return None
    return (
        f"workers held the job for longer than its limit of {_shown(limit)} (limits.max_runtime), and worker "
        f"{attempt.worker} did not end within {patience:.0f} s: its attempt was ended"
    )


def held_with_limit() -> Select[*Held]:
    """Held attempts of jobs that may have the limit."""
    before, limits = Job.spent[attempt_totals.BEFORE_RETRY], Job.spec["limits"]
    held = func.coalesce(Job.held_seconds, 0.0)
    return (
        select(Attempt.id, Attempt.job_id, Attempt.claimed_at, held, before, limits)
        .join(Job, Job.id == Attempt.job_id)
        .where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Job.spec_version >= SINCE_SPEC)
    )


def may_overrun(row: Row[*Held], now: datetime) -> bool:
    """Whether a row of `held_with_limit` may be beyond its limit. `overran` then decides under the job's row lock."""
    _, _, claimed_at, held, before, limits = row
    since = held - attempt_totals.read_before_retry(before).held
    return since + _seconds(claimed_at, now) > limit_of(limits)


def _held(unit: Unit, job: Job, *, live: bool) -> float:
    """Seconds for which workers held the job in the attempts that ended since its last retry."""
    return attempt_totals.of_job(unit, job, live=live).held - attempt_totals.before_retry(job).held


def _seconds(begun: datetime | None, now: datetime) -> float:
    return 0.0 if begun is None else max(0.0, (now - begun).total_seconds())


def _shown(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 7200 else f"{seconds / 3600:.1f} h"
