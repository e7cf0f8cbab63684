"""The points of series that are not sent yet. Points of a checkpoint are sent before its commit."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from baton.domain.series import BATCH_POINTS, MOST_NAMES, SeriesPoint
from baton.domain.wire import Grant
from worker.api_client.client import ServiceClient
from worker.checkpointing.upload_queue import UploadTask

MOST = 100_000
"""The most points that wait. If the service is unavailable for long, every second one is dropped."""
SEND_SECONDS = 2.0
"""Points are sent at least this long after one another."""
MAX_NAMED = 20
"""Names of series in an event."""
THINNED = "the service is unavailable for long: some points of the series are left out"


class Point(NamedTuple):
    """The value of a series at a step. `at`: Unix seconds. Smaller than a SeriesPoint, because many may wait."""

    name: str
    step: int
    value: float
    at: float


class SeriesBuffer:
    """Any thread adds points. The threads of the upload queue send them, at most BATCH_POINTS at a time.

    `put`: queues a task. `note`: adds an event of a kind with a text, if points are left out.
    """

    def __init__(
        self,
        client: ServiceClient,
        grant: Grant,
        put: Callable[[UploadTask], None],
        note: Callable[[str, str], None],
    ) -> None:
        self._client, self._grant, self._put, self._note = client, grant, put, note
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._points: list[Point] = []
        self._thinned = False
        self._queued_at = -math.inf
        self._left_out = frozenset[str]()

    def add(self, points: Sequence[Point], *, now: bool = False) -> None:
        """Adds points. They are sent every SEND_SECONDS, or `now`."""
        with self._lock:
            self._points += points
            first = len(self._points) > MOST and not self._thinned
            if len(self._points) > MOST:
                self._points, self._thinned = self._points[::2], True
        if first:
            self._note("series_thinned", THINNED)
        if self._points and (now or time.monotonic() - self._queued_at >= SEND_SECONDS):
            self._queued_at = time.monotonic()
            self._put(UploadTask(self.flush, frozenset({"series"}), yields=True, what="sending series"))

    def flush(self, last_step: int | None = None) -> None:
        """Sends the points up to this step; None: all. After an error, those that were not sent are kept.

        Raises:
            ServiceUnavailable, Refused, LeaseLost: as the client does.
        """
        with self._sending:
            while batch := self._next(last_step):
                self._send(batch)
                sent = {(point.name, point.step, point.at) for point in batch}
                with self._lock:
                    self._points = [one for one in self._points if (one.name, one.step, one.at) not in sent]

    def _next(self, last_step: int | None) -> list[Point]:
        with self._lock:
            due = (point for point in self._points if last_step is None or point.step <= last_step)
            return list(islice(due, BATCH_POINTS))

    def _send(self, points: Sequence[Point]) -> None:
        made = [SeriesPoint(name=one.name, step=one.step, value=one.value, at=one.at) for one in points]
        left_out = self._client.series(self._grant.attempt_id, self._grant.fence, made) - self._left_out
        if left_out:
            self._left_out |= left_out
            more = f" and {len(left_out) - MAX_NAMED:,} more" if len(left_out) > MAX_NAMED else ""
            names = ", ".join(sorted(left_out)[:MAX_NAMED]) + more
            self._note("series_left_out", f"a job has at most {MOST_NAMES} series; left out: {names}")
