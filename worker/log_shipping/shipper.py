"""Ships a growing log to the store in segments with immutable names. Never blocks the writer of the log."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from baton.domain.errors import LeaseLost
from baton.storage import (
    AlreadyExists,
    Corrupted,
    ObjectAccess,
    StoreError,
    StoreUnavailable,
    open_store,
)
from worker.ipc.messages import Held
from worker.log_shipping.backlog import Backlog
from worker.log_shipping.records import as_records

CONTENT_TYPE = "text/plain; charset=utf-8"
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0
_T = TypeVar("_T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often a segment is shipped, in seconds, and how large it is, in bytes.

    The pause between two segments grows with the age of the log, from `shortest` to `longest`: a week of training makes
    about 10,000 objects, not 300,000. When `burst` bytes wait, they are shipped sooner. `give_up`: how long to retry
    after the end of the process if the store is unavailable.
    """

    shortest: float = 2.0
    longest: float = 60.0
    share: float = 1 / 120
    burst: int = 256 << 10
    segment: int = 1 << 20
    limit: int = 32 << 20
    tail: int = 64 << 10
    give_up: float = 600.0

    def pause(self, age: float) -> float:
        """Seconds between two segments of a log that is `age` seconds old."""
        return min(max(age * self.share, self.shortest), self.longest)


class _GaveUp(Exception):
    pass


class Shipper:
    """Ships the log of one process, once its attempt is known.

    `store`: opens the store of the attempt that the process holds. `show`: formats the log for the worker's stderr.
    """

    def __init__(
        self,
        store: Callable[[Held | None], ObjectAccess],
        pace: Pace = Pace(),
        show: Callable[[bytes], bytes] = lambda text: text,
    ) -> None:
        self._store, self._pace, self.show = store, pace, show
        self._backlog = Backlog(pace.limit, pace.tail)
        self._name: Callable[[int], str] | None = None
        self._held: Held | None = None
        self._news = threading.Condition()
        self._begun = 0.0
        self._last, self._offset = -pace.longest, 0
        self._ended_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def add_output(self, data: bytes) -> None:
        """Adds output of the process."""
        self._backlog.add(data)
        with self._news:
            self._news.notify()

    def ship(self, name: Callable[[int], str], held: Held | None = None) -> None:
        """The process has an attempt: starts to ship its log. `name`: of a segment, by the offset of its first byte."""
        if self._name is None:
            self._name, self._begun, self._held = name, time.monotonic(), held
            self._thread.start()

    def end(self, final_line: str = "") -> None:
        """The process has ended. Ships the rest in the background. An empty segment marks the end of the log."""
        self._backlog.end(final_line)
        with self._news:
            self._ended_at = time.monotonic()
            self._news.notify()

    def wait(self, seconds: float) -> bool:
        """Waits at most `seconds`. Returns whether everything is shipped or abandoned."""
        if self._name is not None:
            self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            store = self._retry(lambda: self._store(self._held))
            while not self._await_due():
                self._ship_waiting(store)
            self._ship_waiting(store)
            self._put(store, b"")
        except (StoreError, LeaseLost, _GaveUp) as error:
            log.warning("the log of this attempt is incomplete in the store: %s", error)

    def _await_due(self) -> bool:
        """Waits until a segment is due. Returns whether the process has ended."""
        with self._news:
            while self._ended_at is None:
                left = self._left() if len(self._backlog) else None
                if left is not None and left <= 0:
                    return False
                self._news.wait(left)
            return True

    def _left(self) -> float:
        now = time.monotonic()
        pause = self._pace.pause(now - self._begun)
        if len(self._backlog) >= self._pace.burst:
            pause = self._pace.shortest / 4
        return self._last + pause - now

    def _ship_waiting(self, store: ObjectAccess) -> None:
        self._last = time.monotonic()
        while data := self._backlog.take(self._pace.segment):
            self._put(store, data)

    def _put(self, store: ObjectAccess, data: bytes) -> None:
        # A retry must store the same bytes as the try before it, which may have succeeded.
        assert self._name is not None
        name = self._name(self._offset)
        self._retry(lambda: _put_once(store, name, data))
        self._offset += len(data)

    def _retry(self, call: Callable[[], _T]) -> _T:
        pause = FIRST_RETRY
        while True:
            try:
                return call()
            except (StoreUnavailable, Corrupted) as error:
                ended = self._ended_at
                if ended is not None and time.monotonic() > ended + self._pace.give_up:
                    raise _GaveUp(f"the store was unavailable for too long: {error}") from error
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(2 * pause, LONGEST_RETRY)


def _put_once(store: ObjectAccess, name: str, data: bytes) -> None:
    try:
        store.put(name, data, if_absent=True, content_type=CONTENT_TYPE)
    except AlreadyExists:
        # If the bytes are equal, an earlier try succeeded and its answer was lost.
        if store.get(name) != data:
            raise


class Logs:
    """The logs of a worker's training processes. The store is opened when the first log is shipped.

    `store_url`: the worker's own store. Empty: `granted` opens the store of the attempt that a process holds.
    """

    def __init__(
        self, store_url: str, pace: Pace = Pace(), granted: Callable[[Held], ObjectAccess] | None = None
    ) -> None:
        self._url, self._pace, self._granted = store_url, pace, granted
        self._store: ObjectAccess | None = None
        self._shippers: list[Shipper] = []
        self._show: Callable[[bytes], bytes] = lambda text: text

    def shown_as(self, formatter: logging.Formatter) -> None:
        """On the stderr of the worker, formats each line of a training process as a log record."""
        self._show = partial(as_records, formatter)

    def new(self) -> Shipper:
        """A shipper for one more process."""
        self._shippers = [one for one in self._shippers if not one.wait(0)]
        shipper = Shipper(self._open, self._pace, self._show)
        self._shippers.append(shipper)
        return shipper

    def close(self, seconds: float) -> None:
        """Waits at most `seconds` until all logs are shipped."""
        give_up = time.monotonic() + seconds
        if not all(one.wait(give_up - time.monotonic()) for one in self._shippers):
            log.warning("the last lines of a log did not reach the store within %.0f s", seconds)

    def _open(self, held: Held | None) -> ObjectAccess:
        if not self._url and self._granted is not None and held is not None:
            return self._granted(held)
        if self._store is None:
            self._store = open_store(self._url)
        return self._store
