"""What the training loop hands over and does not wait for: one thread sends it, in order, one thing at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core.domain.errors import JobFailure, LeaseLost
from core.domain.policies import Reason
from worker.troubles import Troubles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parcel:
    """Something to send. A newer parcel replaces a waiting one if its `covers` is a superset of the older `covers`.

    `optional` parcels are dropped when time is short. Their failure is reported to `lost` and does not end the attempt.
    `what`: a description of the work for error reports.
    """

    send: Callable[[], None]
    covers: frozenset[str] = frozenset()
    optional: bool = False
    lost: Callable[[Exception], None] | None = None
    what: str = "saving"

    def supersedes(self, older: Parcel) -> bool:
        """Whether the older one need not be sent any more."""
        return bool(older.covers) and older.covers <= self.covers


class Outbox:
    """Sends parcels in the background. Retries during outages of the service or the store while the lease is held.

    Sends nothing more after a failure that ends the attempt. `troubles`: receives the failures that are retried.
    """

    def __init__(
        self, check: Callable[[], None], lose: Callable[[str], None], troubles: Troubles | None = None
    ) -> None:
        self._check, self._lose = check, lose
        self._troubles = troubles or Troubles()
        self._waiting: deque[Parcel] = deque()
        self._changed = threading.Condition()
        self._sending = self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, parcel: Parcel) -> None:
        """Hands a parcel over; what it supersedes is not sent."""
        with self._changed:
            self.check()
            self._waiting = deque(p for p in self._waiting if not parcel.supersedes(p))
            self._waiting.append(parcel)
            self._changed.notify_all()

    def check(self) -> None:
        """Raises what went wrong in the background."""
        if self._failure is not None:
            raise self._failure

    def flush(self, *, seconds: float | None = None, hurry: bool = False) -> bool:
        """Waits until all is sent, at most `seconds`; in a hurry optional parcels are dropped. False: time was up."""
        with self._changed:
            if hurry:
                self._waiting = deque(p for p in self._waiting if not p.optional)
            done = self._changed.wait_for(lambda: self._failure or not (self._waiting or self._sending), seconds)
        self.check()
        return bool(done)

    def close(self) -> None:
        """Ends the thread; what still waits is dropped."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (parcel := self._next()) is not None:
            try:
                self._troubles.persist(parcel.what, parcel.send, wait=self._pause)
            except LeaseLost as error:
                self._lose(str(error))
                self._fail(error)
            except BaseException as error:
                self._failed(parcel, error)
            finally:
                self._sent()

    def _failed(self, parcel: Parcel, error: BaseException) -> None:
        # The wrong store affects more than this file: everything that follows would go to the wrong store too.
        wrong = isinstance(error, JobFailure) and error.reason == Reason.WRONG_STORE
        if not parcel.optional or wrong or not isinstance(error, Exception):
            self._fail(error)
            return
        log.warning("%s failed, training goes on", parcel.what, exc_info=error)
        try:
            if parcel.lost is not None:
                parcel.lost(error)
        except Exception:
            log.exception("the failure of %s could not be told", parcel.what)

    def _next(self) -> Parcel | None:
        with self._changed:
            self._changed.wait_for(lambda: (self._waiting and self._failure is None) or self._closed)
            if not self._waiting:
                return None
            self._sending = True
            return self._waiting.popleft()

    def _pause(self, seconds: float) -> None:
        self._check()
        if self._closed:
            raise LeaseLost("the attempt has ended")
        time.sleep(seconds)

    def _fail(self, error: BaseException) -> None:
        if not self._closed:
            log.error("could not send: %s", error)
        with self._changed:
            self._failure = self._failure or error
            self._waiting.clear()

    def _sent(self) -> None:
        with self._changed:
            self._sending = False
            self._changed.notify_all()
