"""Limits how often an attempt may make writes that have no other limit. Each kind has a token bucket per process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from service.errors import TooManyWrites

KEPT = 10_000


@dataclass
class _Bucket:
    left: float
    at: float


class WriteRate:
    """For each name: allows `burst` writes without a wait, then one more after each `seconds`. Thread-safe."""

    def __init__(self, what: str, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._burst, self._seconds, self._clock = what, burst, seconds, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, name: str) -> None:
        """Use one write. Raises TooManyWrites with the seconds until the next is allowed."""
        now = self._clock()
        with self._lock:
            bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
            self._buckets.move_to_end(name)
            while len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) / self._seconds)
            bucket.at = now
            if bucket.left < 1:
                raise TooManyWrites(self._what, math.ceil((1 - bucket.left) * self._seconds))
            bucket.left -= 1


NOTES = (200, 30.0)
"""Burst, and seconds for each further write. Baton's worker writes only a few per attempt."""

ARTIFACTS = (1_000, 1.0)
"""For the files of an epoch. The worker skips versions that a newer one replaces."""
