"""Current failures that are retried. Each heartbeat reports them, so that the job's status shows why it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from baton.domain.store_identity import SLOW, Trouble, one_line
from worker.retry import TRANSIENT, retry_call

REPORT_AFTER_SECONDS = 2.0
"""Failures that end within this time are not reported."""
SLOW_SECONDS, SLOW_TIMES = 60.0, 3.0
"""A call is slow if it exceeds both: this many seconds, and this many times the longest successful call of its kind."""
_T = TypeVar("_T")


class StoreTroubles:
    """The failures and slow calls of one attempt, by kind of work. `changed`: called once when a failure begins to be
    reported.

    `answered`: called after each try, successful or not.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.changed = changed
        self.answered: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._failing: dict[str, tuple[float, str, str]] = {}
        self._under_way: dict[str, float] = {}
        self._longest: dict[str, float] = {}

    def retry_call(
        self,
        what: str,
        call: Callable[[], _T],
        *,
        wait: Callable[[float], object] = time.sleep,
        seconds: float | None = None,
    ) -> _T:
        """Like `worker.retry.retry_call`. Records the failures while it retries."""

        def watched() -> _T:
            begun = time.monotonic()
            with self._lock:
                self._under_way[what] = begun
            try:
                result = call()
            except TRANSIENT as error:
                self._failed(what, error)
                raise
            except Exception:
                self._ended(what)
                raise
            self._ended(what, time.monotonic() - begun)
            return result

        try:
            return retry_call(watched, wait=wait, seconds=seconds)
        except BaseException:
            self._ended(what)  # no further try
            raise

    def _failed(self, what: str, error: Exception) -> None:
        self.answered()
        code, now = str(getattr(error, "code", type(error).__name__)), time.monotonic()
        with self._lock:
            self._under_way.pop(what, None)
            since, before, _ = self._failing.get(what, (now, "", ""))
            self._failing[what] = (since, code, one_line(error))
            report = now - since >= REPORT_AFTER_SECONDS and code != before
        if report:
            self.changed()

    def _ended(self, what: str, took: float = 0.0) -> None:
        self.answered()
        with self._lock:
            self._failing.pop(what, None)
            self._under_way.pop(what, None)
            self._longest[what] = max(self._longest.get(what, 0.0), took)

    def current(self) -> Trouble | None:
        """The longest current failure, if it lasts long enough to be reported. Otherwise the longest slow call."""
        now = time.monotonic()
        with self._lock:
            failing = [(since, what, code, reason) for what, (since, code, reason) in self._failing.items()]
            slow = [
                (since, what, SLOW, "")
                for what, since in self._under_way.items()
                if now - since > max(SLOW_SECONDS, SLOW_TIMES * self._longest.get(what, 0.0))
            ]
        failing = [one for one in failing if now - one[0] >= REPORT_AFTER_SECONDS]
        if not (found := failing or slow):
            return None
        since, what, cause, detail = min(found)
        return Trouble(what=what[:50], cause=cause[:50], detail=detail, seconds=now - since)
