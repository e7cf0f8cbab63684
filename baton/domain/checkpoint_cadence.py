"""When to save a checkpoint: the spec's cadence, or the Young/Daly interval from measured costs. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from baton.domain.spec import AnySpec, EverySeconds, EverySteps

MIN_INTERVAL = 15.0
MAX_INTERVAL = 1800.0
OVERDUE_INTERVALS = 3.0
OVERDUE_SECONDS = 60.0
PRIOR_INTERRUPTION_SECONDS = 3600.0


def seconds_between_interruptions(held_seconds: float, interruptions: int) -> float:
    """Mean seconds between interruptions. Adds one hour with one interruption to the observations."""
    return (held_seconds + PRIOR_INTERRUPTION_SECONDS) / (interruptions + 1)


def young_daly(cost_seconds: float, between_interruptions: float) -> float:
    """The optimal checkpoint interval in seconds, limited to 15 s to 30 min.

    `cost_seconds`: training time lost by one save. `between_interruptions`: mean seconds between interruptions.
    Source: J. W. Young, A first order approximation to the optimum checkpoint interval, CACM 17 (1974); J. T. Daly,
    Future Generation Computer Systems 22 (2006).

    >>> young_daly(cost_seconds=0.5, between_interruptions=3600.0)
    60.0
    """
    return min(max(math.sqrt(2 * cost_seconds * between_interruptions), MIN_INTERVAL), MAX_INTERVAL)


@dataclass(frozen=True)
class Since:
    """Steps and time since the last checkpoint, and the cost of a save. Times in seconds.

    `stall_seconds`: how long the training loop waits for a save. `save_seconds`: how long the background write takes.
    """

    steps: int
    seconds: float
    stall_seconds: float
    save_seconds: float
    between_interruptions: float


def interval_seconds(spec: AnySpec, since: Since) -> float | None:
    """Seconds between checkpoints by the spec's cadence. None for a cadence in steps before the first step.

    `auto` is the Young/Daly interval with the stall as the cost, because training loses only the stall. The interval is
    at least twice the time of the background write, so that a save is committed well before the next one begins. With
    slow writes the interval can therefore exceed 30 min.
    """
    match spec.checkpoint.every:
        case EverySteps(steps=steps):
            return min(steps, 2**53) * since.seconds / since.steps if since.steps else None
        case EverySeconds(seconds=seconds):
            return seconds
        case _:
            return max(young_daly(since.stall_seconds, since.between_interruptions), 2 * since.save_seconds)


def checkpoint_due(spec: AnySpec, since: Since) -> bool:
    """Whether the training loop should save now."""
    if isinstance(spec.checkpoint.every, EverySteps):
        return since.steps >= spec.checkpoint.every.steps
    interval = interval_seconds(spec, since)
    return interval is not None and since.seconds >= interval


def checkpoint_overdue(age: float, interval: float | None) -> bool:
    """Whether a running job's newest checkpoint is much older than its interval. `age`, `interval` in seconds."""
    return interval is not None and age > max(OVERDUE_INTERVALS * interval, OVERDUE_SECONDS)
