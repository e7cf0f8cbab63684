"""`limits.max_runtime` and `limits.budget`: what a job may use, what it has used, and which limit comes first.

`max_runtime` counts the attempts since the last retry. A budget counts all attempts: a retry gives no money back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, exists, func, select

from baton.domain.errors import FieldError, SpecError
from baton.domain.lenient_reading import mapping, number_or
from baton.domain.prices import HOUR_US, MICRO, cost, exact, micro
from baton.domain.reasons import Reason
from baton.domain.spec import LimitsSpec
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.uptime import Served
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Event, Job
from service.db.unit_of_work import Unit
from service.errors import Conflict
from service.usecases import attempt_totals, usage

SINCE_SPEC = 3
"""The version of the spec that introduced `limits`. Jobs with an older one are not read."""


class Used(NamedTuple):
    """What a job has used: seconds for which workers held it since its last retry, microseconds of GPUs, millionths."""

    held: float
    gpu_us: int
    cost: int


class Rates(NamedTuple):
    """What an attempt uses in an hour: its GPUs, and its price in millionths."""

    gpus: int = 0
    hourly_price: int = 0


@dataclass(frozen=True)
class Limit:
    """A limit of a job. `field`: its path in the spec. `left`: seconds until it is reached. `text`: for the owner."""

    reason: Reason
    field: str
    left: float
    text: str


def check_budget(limits: LimitsSpec, *, priced: bool) -> None:
    """Raises SpecError if the limits name money and the service knows no prices (`priced`)."""
    budget = limits.budget
    if budget is not None and budget.money is not None and not priced:
        text = "the service has no prices (BATON_PRICES), so it cannot count money: use limits.budget.gpu_hours"
        raise SpecError([FieldError("limits.budget.money", text)])


def left(unit: Unit, job: Job, attempt: Attempt) -> float | None:
    """Seconds for which the worker may still hold the job. None without a limit. The caller holds the job's row lock.

    The time in the queue and in pauses does not count, because no worker holds the job then.
    """
    limit = first(unit, job, attempt)
    return None if limit is None or math.isinf(limit.left) else max(0.0, limit.left)


def first(unit: Unit, job: Job, attempt: Attempt | None = None) -> Limit | None:
    """The limit that the job reaches first, or has reached. None without limits. The caller holds the job's row lock.

    `attempt`: the one that a worker holds, or that has just ended.
    """
    limits = mapping(mapping(job.spec).get("limits"))
    if not limits.get("max_runtime") and not limits.get("budget"):
        return None
    is_live = attempt is not None and attempt.finished_at is None
    held = attempt_totals.of_job(unit, job, live=is_live).held - attempt_totals.before_retry(job).held
    used = Used(held, job.gpu_us, job.cost)
    if attempt is not None and is_live and attempt.claimed_at is not None:
        now = unit.now()
        here = Used(_seconds(attempt.claimed_at, now), usage.gpu_us(attempt, now), usage.spent(attempt, now) or 0)
        used = Used(used.held + here.held, used.gpu_us + here.gpu_us, used.cost + here.cost)
    return _first(limits, used, Rates(attempt.gpus or 0, attempt.hourly_price or 0) if attempt else Rates())


def reached(unit: Unit, job: Job, attempt: Attempt | None = None) -> Limit | None:
    """The limit that the job has reached, or None. Arguments as of `first`."""
    limit = first(unit, job, attempt)
    return limit if limit is not None and limit.left <= 0 else None


def refuse_beyond(unit: Unit, job: Job) -> None:
    """Raises Conflict if the job has reached a limit: it would be paused again at once."""
    limit = reached(unit, job, unit.live_attempt(job))
    if limit is not None:
        text = f"raise {limit.field} first, e.g. `baton edit {job.id} --set {limit.field}=...`"
        raise Conflict(f"{limit.text}: {text}")


def changed(unit: Unit, job: Job, attempt: Attempt) -> bool:
    """Whether the job was changed after the claim of the attempt: its worker may know older limits."""
    if attempt.claimed_at is None:
        return False
    of_job = (Event.job_id == job.id, Event.kind == "changed", Event.at >= attempt.claimed_at)
    return unit.session.scalar(select(exists().where(*of_job))) or False


def held_with_limit() -> Select[*tuple[Any, ...]]:
    """Held attempts of jobs that may have a limit."""
    held = func.coalesce(Job.held_seconds, 0.0).label("held")
    of_attempt = (Attempt.id, Attempt.job_id, Attempt.claimed_at, Attempt.gpus, Attempt.hourly_price)
    before = Job.spent[attempt_totals.BEFORE_RETRY].label("before")
    return (
        select(*of_attempt, held, before, Job.gpu_us, Job.cost, Job.spec["limits"].label("limits"))
        .join(Job, Job.id == Attempt.job_id)
        .where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Job.spec_version >= SINCE_SPEC)
    )


def may_be_reached(row: Row[*tuple[Any, ...]], now: datetime) -> bool:
    """Whether the job of a row of `held_with_limit` may be beyond a limit. `first` then decides under its row lock."""
    here = _seconds(row.claimed_at, now)
    us, rates = round(here * MICRO), Rates(row.gpus or 0, row.hourly_price or 0)
    used = Used(
        row.held - attempt_totals.read_before_retry(row.before).held + here,
        row.gpu_us + us * rates.gpus,
        row.cost + cost(rates.hourly_price, us),
    )
    limit = _first(mapping(row.limits), used, rates)
    return limit is not None and limit.left <= 0


def passed(limit: Limit, attempt: Attempt, served: Served, patience: float) -> bool:
    """Whether the limit was reached `patience` seconds ago, in time in which the service could be reached."""
    if attempt.claimed_at is None:
        return False
    here = _seconds(attempt.claimed_at, served.now) + limit.left
    return served.passed(attempt.claimed_at, max(0.0, here) + patience)


def _first(limits: dict[str, Any], used: Used, rates: Rates) -> Limit | None:
    return min(_limits(limits, used, rates), key=lambda limit: limit.left, default=None)


def _limits(limits: dict[str, Any], used: Used, rates: Rates) -> Iterator[Limit]:
    budget = mapping(limits.get("budget"))
    if runtime := _positive(limits.get("max_runtime")):
        text = f"workers held the job for {_shown(runtime)}, which is its limit (limits.max_runtime)"
        yield Limit(Reason.MAX_RUNTIME, "limits.max_runtime", runtime - used.held, text)
    if hours := _positive(budget.get("gpu_hours")):
        us = round(hours * HOUR_US) - used.gpu_us
        spent = used.gpu_us / HOUR_US
        text = f"the job used {spent:.4g} GPU hours, and its budget is {hours:g} (limits.budget.gpu_hours)"
        yield Limit(Reason.BUDGET_REACHED, "limits.budget.gpu_hours", _until(us, rates.gpus * MICRO), text)
    if money := _positive(budget.get("money")):
        whole = micro(money)
        text = f"the job cost {exact(used.cost)}, and its budget is {exact(whole)} (limits.budget.money)"
        us = (whole - used.cost) * HOUR_US
        yield Limit(Reason.BUDGET_REACHED, "limits.budget.money", _until(us, rates.hourly_price * MICRO), text)


def _until(rest: int, rate: int) -> float:
    """Seconds until `rest` is used up. What is used up already stays so; what nothing is used of lasts for ever."""
    return rest / rate if rate else (math.inf if rest > 0 else 0.0)


def _positive(value: object) -> float:
    found = number_or(value)
    return found if math.isfinite(found) and found > 0 else 0.0


def _seconds(begun: datetime | None, now: datetime) -> float:
    return 0.0 if begun is None else max(0.0, (now - begun).total_seconds())


def _shown(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 7200 else f"{seconds / 3600:.1f} h"
