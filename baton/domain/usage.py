"""What an attempt used, by day in UTC: time, and cost if its device has a price. Whole numbers, so that sums are exact.

Every sum over attempts, jobs, owners, projects, days or months is a sum of the same parts, so all of them agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from baton.domain.goodput import PRODUCTIVE, Bucket
from baton.domain.prices import MICRO, cost

_US = timedelta(microseconds=1)
_DAY = timedelta(days=1)


class UsageBy(StrEnum):
    """What usage can be grouped by."""

    PROJECT = "project"
    OWNER = "owner"
    JOB = "job"
    DEVICE = "device"
    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True)
class Part:
    """A day of an attempt. `us`: microseconds for which a worker held it. Costs in millionths; None: without a price.

    `trained`: the part in which it trained, validated or evaluated, and which a checkpoint or the end of the job kept.
    `redone`: training that was lost, so that it was done again. The rest is starting, restoring, loading and saving.
    """

    day: date
    us: int
    trained_us: int
    redone_us: int
    cost: int | None
    trained_cost: int | None
    redone_cost: int | None


def held_us(begun: datetime, ended: datetime) -> int:
    """Microseconds between two times; 0 if the clock was set back between them."""
    return max(0, (ended - begun) // _US)


def parts(begun: datetime, ended: datetime, seconds: Mapping[Bucket, float], hourly: int | None) -> list[Part]:
    """The days of an attempt, oldest first. `seconds`: by bucket. `hourly`: price of an hour in millionths.

    The amounts until the end of each day are rounded, and a day gets the difference to the day before it. So the days
    add up to the amount of the whole attempt, to the last millionth.
    """
    whole = held_us(begun, ended)
    if not whole:
        return []
    trained = min(whole, round(MICRO * sum(seconds.get(bucket, 0.0) for bucket in PRODUCTIVE)))
    redone = min(whole - trained, round(MICRO * seconds.get(Bucket.REDONE, 0.0)))
    found, before = [], (0, 0, 0, 0, 0, 0)
    for day, end in _days(begun, ended):
        us = held_us(begun, end)
        spent = cost(hourly or 0, us)
        until = (
            us,
            trained * us // whole,
            redone * us // whole,
            spent,
            spent * trained // whole,
            spent * redone // whole,
        )
        us, done, again, all_of_it, for_done, for_again = (new - old for new, old in zip(until, before, strict=True))
        part = Part(day, us, done, again, None, None, None)
        if hourly is not None:
            part = replace(part, cost=all_of_it, trained_cost=for_done, redone_cost=for_again)
        found.append(part)
        before = until
    return found


def _days(begun: datetime, ended: datetime) -> Iterator[tuple[date, datetime]]:
    """The days in UTC that the time touches, each with its end or that of the time."""
    day = begun.astimezone(UTC).date()
    while (end := datetime.combine(day, time(), UTC) + _DAY) < ended:
        yield day, end
        day += _DAY
    yield day, ended
