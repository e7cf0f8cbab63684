"""Training throughput, counters of a run, and the limit of pending steps on a device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 15.0


@dataclass
class Counters:
    """Counters of one process: steps since the last save; images and start of the current epoch (monotonic seconds)."""

    steps: int = 0
    images: int = 0
    begun: float = 0.0


class ThroughputMeter:
    """Images per second over a sliding window. `clock` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def count(self, images: int) -> None:
        """Adds images."""
        now = self._clock()
        self._marks.append((now, self._marks[-1][1] + images))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_SECONDS:
            self._marks.popleft()

    @property
    def images_per_second(self) -> float | None:
        """Images per second over the window. None if the window is still empty."""
        (begun, first), (ended, last) = self._marks[0], self._marks[-1]
        return (last - first) / (ended - begun) if ended > begun else None


class Pace:
    """Limits the pending steps on a device. `seconds`: about how long a wait for them may take."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._begun, self._most, self._since = 0, 1, clock()

    def begin(self) -> None:
        """Counts one more pending step."""
        self._begun += 1

    @property
    def full(self) -> bool:
        """Whether to wait for the device before the next step."""
        return self._begun >= self._most

    def waited(self) -> None:
        """Call it when no step is pending. Computes the limit from the time since the last call."""
        now = self._clock()
        if self._begun:
            self._most = max(1, int(self._seconds * self._begun / max(now - self._since, 1e-9)))
        self._begun, self._since = 0, now
