"""Detects when a training process has stalled, from the progress that it reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.ipc.progress import Seen

LONGEST_TIMES = 3.0
"""The stall limit is at least this many times the longest pause after which the attempt made progress again."""

MOST_BETWEEN_LOOKS = 5.0
"""Seconds. If more passed between two calls of `look`, the supervisor was stopped or the machine was suspended."""


@dataclass(frozen=True)
class Stall:
    """Seconds without progress, the limit in seconds, and what the process was doing."""

    seconds: float
    limit: float
    doing: str

    def __str__(self) -> str:
        return f"no progress for {self.seconds:.0f} s (the limit was {self.limit:.0f} s) while {self.doing}"


def effective_limit(stall: float, longest: float) -> float:
    """The limit in seconds: the spec's limit, or a longer one if this attempt continued after a long pause."""
    return max(stall, LONGEST_TIMES * longest)


class StallDetector:
    """Watches one attempt. Call `look` more often than every MOST_BETWEEN_LOOKS seconds.

    Each call adds at most MOST_BETWEEN_LOOKS to the time without progress: an hour in which the machine was suspended
    is not a stall.
    """

    def __init__(self, read: Callable[[], Seen], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._looked = clock()
        self._advances = read().advances
        self._quiet = self._longest = 0.0

    def look(self) -> Stall | None:
        """The stall; None while there is none."""
        now, seen = self._clock(), self._read()
        self._quiet += min(now - self._looked, MOST_BETWEEN_LOOKS)
        self._looked = now
        if seen.advances != self._advances:
            self._longest = max(self._longest, self._quiet)
            self._advances, self._quiet = seen.advances, 0.0
            return None
        limit = effective_limit(seen.limit, self._longest)
        return Stall(self._quiet, limit, seen.doing) if self._quiet > limit else None

    @property
    def overdue(self) -> bool:
        """Whether the process should have ended by now, because its job was cancelled or its lease is lost."""
        end_by = self._read().end_by
        return not math.isinf(end_by) and self._clock() > end_by
