"""How fast a run goes, over its last seconds, and how much work a device may have left to do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 15.0


class ThroughputMeter:
    """Images per second over a sliding window. `clock` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def count(self, images: int) -> None:
        """So many more images are done."""
        now = self._clock()
        self._marks.append((now, self._marks[-1][1] + images))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_SECONDS:
            self._marks.popleft()

    @property
    def images_per_second(self) -> float | None:
        """None before there is anything to divide."""
        (begun, first), (ended, last) = self._marks[0], self._marks[-1]
        return (last - first) / (ended - begun) if ended > begun else None


class Pace:
    """Bounds the steps that are begun and not known to be done. `seconds`: how long a wait for them may take."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._begun, self._most, self._since = 0, 1, clock()

    def begin(self) -> None:
        """One more step was handed over."""
        self._begun += 1

    @property
    def full(self) -> bool:
        """Whether to wait before the next step."""
        return self._begun >= self._most

    def waited(self) -> None:
        """All steps are done. The time since the last wait is at least theirs, so that the bound is never too high."""
        now = self._clock()
        if self._begun:
            self._most = max(1, int(self._seconds * self._begun / max(now - self._since, 1e-9)))
        self._begun, self._since = 0, now
