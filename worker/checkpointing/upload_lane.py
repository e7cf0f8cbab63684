"""One lane of the upload queue: a thread that sends its tasks one at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class UploadTask:
    """Something to send. A newer task replaces a waiting one if its `covers` is a superset of the older `covers`.

    `optional` tasks are files for users. They have their own lane and are dropped when time is short. Their
    failure is reported to `lost` and does not end the attempt. `saves`: this task writes to the store. A task that
    saves is dropped when the job is cancelled. Tasks that save and other tasks are sent alternately. `yields`: a task
    that saves may be sent before this one. `what`: a description of the work for error reports. `settled`: called once
    when the task leaves the queue: it was sent, replaced or dropped. It must be short and must not use the queue.
    """

    send: Callable[[], None]
    covers: frozenset[str] = frozenset()
    optional: bool = False
    saves: bool = False
    yields: bool = False
    lost: Callable[[Exception], None] | None = None
    what: str = "saving"
    settled: Callable[[], None] = lambda: None

    def supersedes(self, older: UploadTask) -> bool:
        """Whether the older task does not have to be sent any more."""
        return bool(older.covers) and older.covers <= self.covers


class UploadLane:
    """Sends the tasks of one lane in a thread of this lane.

    `changed` protects all lanes of a queue. `deliver` sends one task and handles its errors. `ready`: whether the next
    task may be sent; called with the lock held.

    The thread is a daemon: a call that never returns does not keep the process alive.
    """

    def __init__(
        self,
        name: str,
        changed: threading.Condition,
        deliver: Callable[[UploadTask], None],
        ready: Callable[[], bool],
    ) -> None:
        self._changed, self._deliver, self._ready = changed, deliver, ready
        self._waiting: deque[UploadTask] = deque()
        self._closed = self._saved = False
        self.sending: UploadTask | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether no task waits or is being sent. Call it with the lock held."""
        return not self._waiting and self.sending is None

    @property
    def unsent(self) -> tuple[UploadTask, ...]:
        """The task that is being sent and those that wait. Call it with the lock held."""
        return (*(() if self.sending is None else (self.sending,)), *self._waiting)

    def put(self, task: UploadTask) -> None:
        """Queues a task at the place of the first task that it replaces, or at the end. Call it with the lock held."""
        kept: deque[UploadTask] = deque()
        placed = False
        for older in self._waiting:
            if not task.supersedes(older):
                kept.append(older)
                continue
            if not placed:
                kept.append(task)
                placed = True
            older.settled()
        if not placed:
            kept.append(task)
        self._waiting = kept
        self._changed.notify_all()

    def drop(self, which: Callable[[UploadTask], bool] = lambda _task: True) -> None:
        """Removes waiting tasks. Call it with the lock held."""
        waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            if which(task):
                task.settled()
            else:
                self._waiting.append(task)
        self._changed.notify_all()

    def close(self) -> None:
        """Drops the waiting tasks and lets the thread end. Call it with the lock held."""
        self._closed = True
        self.drop()

    def join(self, seconds: float) -> None:
        """Waits for the thread, at most `seconds`. A thread that hangs is abandoned."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            sending = self.sending
            log.warning("%s is still in progress at the end: it is abandoned", sending.what if sending else "a call")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._waiting and self._ready()))
                if self._closed:
                    return
                self.sending = task = self._pick()
            try:
                self._deliver(task)
            finally:
                task.settled()
                with self._changed:
                    self.sending = None
                    self._changed.notify_all()

    def _pick(self) -> UploadTask:
        """The next task. Tasks that save alternate with other tasks; each kind is sent in order.

        Rows of short epochs may be queued faster than they are sent, and a checkpoint must not wait until all rows are
        sent. A checkpoint overtakes only rows. An event that was reported before a checkpoint is recorded before it.
        """
        turn = self._waiting[0]
        if self._saved:
            turn = next((task for task in self._waiting if not task.saves), turn)
        elif turn.yields:
            first_other = next((task for task in self._waiting if not task.yields), turn)
            turn = first_other if first_other.saves else turn
        self._waiting.remove(turn)
        self._saved = turn.saves
        return turn
