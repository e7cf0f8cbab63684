"""The reported progress of a running attempt. It never decreases, even if heartbeats arrive out of order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from baton.domain.wire import Heartbeat
from service.db.tables import Attempt, Job

PLACE = ("stage", "epoch", "step", "global_step")


def overtaken(attempt: Attempt, message: Heartbeat) -> bool:
    """Whether a later heartbeat of this worker was already recorded. If so, this heartbeat arrived late.

    The sum of the seconds that a worker measures grows with the attempt, so it orders the heartbeats. A heartbeat
    without seconds is always accepted.
    """
    return bool(message.seconds) and sum(message.seconds.values()) < sum(_numbers(attempt.seconds))


def keep(job: Job, attempt: Attempt, reported: dict[str, Any] | None, metrics: dict[str, Any]) -> None:
    """Store progress and metrics as JSON data, unless the attempt already reported a later position. A new attempt
    resumes from a checkpoint, so its position may be before that of the last attempt."""
    if reported is None:
        return
    before = job.progress
    same = isinstance(before, dict) and before.get("attempt") == attempt.number
    if not same or _place(reported) >= _place(before):
        job.progress = {**reported, "metrics": metrics, "attempt": attempt.number}


def _place(progress: Any) -> tuple[float, ...]:
    """The stored position. An invalid one counts as earlier than every valid one."""
    found = tuple(progress.get(name) for name in PLACE)
    return found if all(isinstance(part, int) for part in found) else ()


def _numbers(stored: Any) -> Iterable[float]:
    values = stored.values() if isinstance(stored, dict) else ()
    return (value for value in values if isinstance(value, int | float))
