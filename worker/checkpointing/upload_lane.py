"""One lane of the outbox: a thread that sends its parcels one at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Parcel:
    """Something to send. A newer parcel replaces a waiting one if its `covers` is a superset of the older `covers`.

    `optional` parcels are files for people. They have a lane of their own and are dropped when time is short. Their
    failure is reported to `lost` and does not end the attempt. `saves`: it writes to the store. Such a parcel is
    dropped when the job is cancelled, and takes turns with those that do not. `what`: a description of the work for
    error reports.
    """

    send: Callable[[], None]
    covers: frozenset[str] = frozenset()
    optional: bool = False
    saves: bool = False
    lost: Callable[[Exception], None] | None = None
    what: str = "saving"

    def supersedes(self, older: Parcel) -> bool:
        """Whether the older one need not be sent any more."""
        return bool(older.covers) and older.covers <= self.covers


class Lane:
    """`changed` protects all lanes of an outbox. `deliver` sends one parcel and handles its errors. `ready`: whether
    the next parcel may be sent; called with the lock held.

    The thread is a daemon: a call that never returns does not keep the process alive.
    """

    def __init__(
        self,
        name: str,
        changed: threading.Condition,
        deliver: Callable[[Parcel], None],
        ready: Callable[[], bool],
    ) -> None:
        self._changed, self._deliver, self._ready = changed, deliver, ready
        self._waiting: deque[Parcel] = deque()
        self._closed = self._saved = False
        self.sending: Parcel | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being sent. To be called with the lock held."""
        return not self._waiting and self.sending is None

    @property
    def unsent(self) -> tuple[Parcel, ...]:
        """What is being sent and what waits. To be called with the lock held."""
        return (*(() if self.sending is None else (self.sending,)), *self._waiting)

    def put(self, parcel: Parcel) -> None:
        """Queues a parcel. It takes the place of the first one that it replaces. To be called with the lock held."""
        kept: deque[Parcel] = deque()
        placed = False
        for older in self._waiting:
            if not parcel.supersedes(older):
                kept.append(older)
            elif not placed:
                kept.append(parcel)
                placed = True
        if not placed:
            kept.append(parcel)
        self._waiting = kept
        self._changed.notify_all()

    def drop(self, which: Callable[[Parcel], bool] = lambda _parcel: True) -> None:
        """Removes waiting parcels. To be called with the lock held."""
        self._waiting = deque(parcel for parcel in self._waiting if not which(parcel))
        self._changed.notify_all()

    def close(self) -> None:
        """Drops what waits and lets the thread end. To be called with the lock held."""
        self._closed = True
        self.drop()

    def join(self, seconds: float) -> None:
        """Waits for the thread, at most `seconds`. A thread that hangs is left behind."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            sending = self.sending
            log.warning("%s is still under way at the end: it is left behind", sending.what if sending else "a call")

    def _run(self) -> None:
        while (parcel := self._next()) is not None:
            try:
                self._deliver(parcel)
            finally:
                with self._changed:
                    self.sending = None
                    self._changed.notify_all()

    def _next(self) -> Parcel | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._waiting and self._ready()))
            if self._closed:
                return None
            self.sending = self._pick()
            return self.sending

    def _pick(self) -> Parcel:
        """The next parcel. What saves and what does not take turns, each in its order.

        Rows of short epochs may come faster than they are sent: no checkpoint waits until all of them are sent.
        """
        turn = next((parcel for parcel in self._waiting if parcel.saves is not self._saved), self._waiting[0])
        self._waiting.remove(turn)
        self._saved = turn.saves
        return turn
