"""How fast a run goes, over its last seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 15.0


class Speedometer:
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
