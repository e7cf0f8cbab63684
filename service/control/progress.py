"""What a running attempt told of its progress. It only goes forward, in whatever order heartbeats arrive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.domain.wire import Heartbeat
from service.db.tables import Attempt, Job

PLACE = ("stage", "epoch", "step", "global_step")


def overtaken(attempt: Attempt, message: Heartbeat) -> bool:
    """Whether a heartbeat that its worker sent later was recorded before: this one was delayed on its way.

    The seconds that a worker measures add up to the age of the attempt, so that they order its heartbeats. One without
    any is taken as it comes.
    """
    return bool(message.seconds) and sum(message.seconds.values()) < sum(_numbers(attempt.seconds))


def keep(job: Job, attempt: Attempt, told: dict[str, Any] | None, metrics: dict[str, Any]) -> None:
    """Keep progress with its metrics, as JSON data, unless the attempt told of a later place. Another attempt may be
    behind the one before it: it goes on from a checkpoint."""
    if told is None:
        return
    before = job.progress
    same = isinstance(before, dict) and before.get("attempt") == attempt.number
    if not same or _place(told) >= _place(before):
        job.progress = {**told, "metrics": metrics, "attempt": attempt.number}


def _place(progress: Any) -> tuple[float, ...]:
    """Read leniently: a stored place that makes no sense is before every other one."""
    found = tuple(progress.get(name) for name in PLACE)
    return found if all(isinstance(part, int) for part in found) else ()


def _numbers(stored: Any) -> Iterable[float]:
    values = stored.values() if isinstance(stored, dict) else ()
    return (value for value in values if isinstance(value, int | float))
