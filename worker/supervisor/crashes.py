"""Counts crashes in a row. A worker on which one job after the other crashes waits before it takes work again.

A bad card, a full disk or too little memory would otherwise use up the retries of every job of the queue.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable

from baton.domain.backoff import backoff
from baton.domain.policies import Reason
from baton.domain.wire import Outcome, Rest

CRASHES, JOBS = 3, 2
"""A worker rests after so many crashes in a row, of at least so many jobs."""

SHORTEST, LONGEST = 30.0, 900.0
"""The first rest and the longest one, in seconds, before jitter."""

MACHINE = frozenset(
    {
        Reason.PROCESS_DIED,
        Reason.STALLED,
        Reason.AUGMENTATION_DIED,
        Reason.OUT_OF_MEMORY,
        Reason.DISK_FULL,
        Reason.CACHE_UNUSABLE,
    }
)
"""Failures that may be the machine's own."""

DEVICE_FAULT = re.compile(r"tensorflow\.python\.framework\.errors_impl\.(Internal|Unknown|Unavailable|Aborted)Error\b")
"""The `fault` of an exception with which TensorFlow reports a failing device or driver."""

WORKED = frozenset({Outcome.SUCCEEDED, Outcome.PREEMPTED, Outcome.PAUSED, Outcome.CANCELLED})
log = logging.getLogger(__name__)


class Crashes:
    """The crashes of this worker since an attempt last ended well. `clock` is in seconds, `draw` is in [0, 1)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random) -> None:
        self._clock, self._draw = clock, draw
        self._jobs: list[str] = []
        self._reason = ""
        self._until = clock()

    def ended(self, job: str, outcome: str | None, reason: str | None, fault: str | None = None) -> None:
        """An attempt of `job` ended.

        A failure that is the job's own says nothing about the machine: it neither counts nor ends the row.
        """
        if outcome in WORKED:
            self._jobs.clear()
        elif outcome == Outcome.FAILED and (reason in MACHINE or DEVICE_FAULT.match(fault or "")):
            self._jobs.append(job)
            self._reason = str(reason)
            self._rest()

    def _rest(self) -> None:
        row = len(self._jobs)
        if row < CRASHES or len(set(self._jobs)) < JOBS:
            return
        seconds = backoff(SHORTEST, row - CRASHES + 1, LONGEST, self._draw())
        self._until = self._clock() + seconds
        text = "%s in a row on this worker: it takes no work for %.0f s. Check the device, the memory and the disk"
        log.error(text, self._why(), seconds)

    def _why(self) -> str:
        return f"{len(self._jobs)} crashes ({self._reason})"

    @property
    def left(self) -> float:
        """Seconds until the worker takes work again."""
        return max(0.0, self._until - self._clock())

    def told(self) -> Rest | None:
        """The current rest, as the worker reports it."""
        left = self.left
        return Rest(seconds=left, why=self._why()) if left else None
