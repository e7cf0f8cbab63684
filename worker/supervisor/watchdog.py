"""Looks at the progress of a training process from outside, and says when it has stalled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.ipc.progress import Seen

LONGEST_TIMES = 3.0
"""An attempt may stand still for so many times as long as it did before and went on."""

MOST_BETWEEN_LOOKS = 5.0
"""Seconds. If more passed between two looks, the supervisor was stopped, or the machine suspended."""


@dataclass(frozen=True)
class Stall:
    """Seconds without progress, the limit in seconds, and what the process was doing."""

    seconds: float
    limit: float
    doing: str

    def __str__(self) -> str:
        return f"no progress for {self.seconds:.0f} s (the limit was {self.limit:.0f} s) while {self.doing}"


def effective_limit(stall: float, longest: float) -> float:
    """The limit in seconds: what the spec allows, or more where this attempt has been slower and still went on."""
    return max(stall, LONGEST_TIMES * longest)


class Watchdog:
    """For one attempt. `look` is to be called more often than every MOST_BETWEEN_LOOKS seconds.

    Time is added up from look to look, at most MOST_BETWEEN_LOOKS each: a machine that was suspended for an hour made
    no progress in that hour, and did not stall either.
    """

    def __init__(self, read: Callable[[], Seen], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._looked = clock()
        self._advances = read().advances
        self._quiet = self._longest = 0.0

    def look(self) -> Stall | None:
        """The stall, once there is one."""
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
        """Whether the process was to have ended by now: its job was cancelled, or its lease is lost."""
        end_by = self._read().end_by
        return not math.isinf(end_by) and self._clock() > end_by
