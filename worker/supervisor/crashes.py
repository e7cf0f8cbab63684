"""Counts consecutive crashes. After crashes of several jobs, the worker pauses before it takes work again.

Otherwise a broken GPU, a full disk or too little memory would use up the retries of every job in the queue.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable

from baton.domain.backoff import backoff
from baton.domain.reasons import Reason
from baton.domain.wire import Outcome, Rest

CRASHES, JOBS = 3, 2
"""A worker pauses after CRASHES consecutive crashes, if they are of at least JOBS different jobs."""

SHORTEST, LONGEST = 30.0, 900.0
"""The length of the first pause and of the longest pause, in seconds, before jitter."""

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
"""Failures that the machine may have caused."""

DEVICE_FAULT = re.compile(r"tensorflow\.python\.framework\.errors_impl\.(Internal|Unknown|Unavailable|Aborted)Error\b")
"""The `fault` of a TensorFlow exception that reports a failing device or driver."""

WORKED = frozenset({Outcome.SUCCEEDED, Outcome.PREEMPTED, Outcome.PAUSED, Outcome.CANCELLED})
log = logging.getLogger(__name__)


class Crashes:
    """The crashes of this worker since the last attempt that ended well. `clock` is in seconds, `draw` in [0, 1)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random) -> None:
        self._clock, self._draw = clock, draw
        self._jobs: list[str] = []
        self._reason = ""
        self._until = clock()

    def ended(self, job: str, outcome: str | None, reason: str | None, fault: str | None = None) -> None:
        """Records the end of an attempt of `job`.

        A failure that the job caused is no evidence about the machine: it is not counted and does not reset the count.
        """
        if outcome in WORKED:
            self._jobs.clear()
        elif outcome == Outcome.FAILED and (reason in MACHINE or DEVICE_FAULT.match(fault or "")):
            self._jobs.append(job)
            self._reason = str(reason)
            self._rest()

    def _rest(self) -> None:
        count = len(self._jobs)
        if count < CRASHES or len(set(self._jobs)) < JOBS:
            return
        seconds = backoff(SHORTEST, count - CRASHES + 1, LONGEST, self._draw())
        self._until = self._clock() + seconds
        text = "%s in a row on this worker: it takes no work for %.0f s. Check the device, the memory and the disk"
        log.error(text, self._why(), seconds)

    def _why(self) -> str:
        return f"{len(self._jobs)} crashes ({self._reason})"

    @property
    def left(self) -> float:
        """Seconds until the worker takes work again."""
        return max(0.0, self._until - self._clock())

    def current_rest(self) -> Rest | None:
        """The current pause, as the worker reports it to the service; None without one."""
        left = self.left
        return Rest(seconds=left, why=self._why()) if left else None
