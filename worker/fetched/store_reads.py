"""Reads many objects of a store in threads, with retries. A stop of the attempt ends the reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TypeVar, cast

from baton.storage import StoreUnavailable
from worker.fetched.prefetch import ahead
from worker.fetched.progress import Meter
from worker.ipc.progress import advanced
from worker.retry import retry_call

THREADS = 6
"""Objects that are read at the same time. Each may take PACK_BYTES of memory."""
STORE_SECONDS = 600.0
"""If the store is unavailable for longer, the attempt ends. The next attempt continues the fetch."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Abandoned(Exception):
    """Another thread failed, or the attempt is to stop: the result is not needed."""


class Reads:
    """Calls of a store for one fetch."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._stop = meter, threading.Event()

    def check(self) -> None:
        """Raises Abandoned if the results are no longer needed. Call it for each chunk."""
        if self._stop.is_set():
            raise Abandoned

    def patiently(self, call: Callable[[], _Out]) -> _Out:
        """The result of a call, which is repeated while the store is unavailable, for at most STORE_SECONDS.

        Raises StoreUnavailable after that, and other errors of a store at once.
        """

        def watched() -> _Out:
            try:
                return call()
            except StoreUnavailable as error:
                self._meter.waits(str(error))
                raise

        return retry_call(watched, wait=self._pause, seconds=STORE_SECONDS)

    def each(self, work: Callable[[_In], object], items: Sequence[_In]) -> None:
        """Calls `work` for each item in THREADS threads. Shows the progress meanwhile.

        Raises the first error, and what the progress report raises to stop. The other calls are abandoned then.
        """
        if not items:
            return
        results = ahead(work, items, threads=THREADS, depth=2 * THREADS, waiting=self._meter.tick)
        try:
            with closing(cast("Generator[object]", results)):
                for _ in results:
                    self._meter.tick()
        except BaseException:
            self._stop.set()
            raise

    def in_thread(self, work: Callable[[], _Out]) -> _Out:
        """The result of one call. The progress is shown meanwhile."""
        found: list[_Out] = []
        self.each(lambda _: found.append(work()), [None])
        return found[0]

    def _pause(self, seconds: float) -> None:
        advanced()  # the last try has ended: an outage is not a stall
        if self._stop.wait(seconds):
            raise Abandoned
