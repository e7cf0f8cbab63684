"""Sends the training loop's data in the background. State and files for users have separate lanes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from baton.domain.errors import BatonError, JobFailure, LeaseLost
from baton.domain.reasons import Reason
from worker.checkpointing.store_troubles import StoreTroubles
from worker.checkpointing.upload_lane import UploadLane, UploadTask

__all__ = ("GivenUp", "UploadQueue", "UploadTask")

JOIN_SECONDS = 0.5
HURRIED_WAIT_SECONDS = 0.5
"""The longest pause between two tries after `hurry`."""
log = logging.getLogger(__name__)


class GivenUp(BatonError):
    """An upload task is not sent, because the attempt ends or its job was cancelled. This is not a failure."""

    code = "given-up"


class UploadQueue:
    """Sends upload tasks in the background: state, rows and notes in one lane, optional files in the other.

    Within a lane, checkpoints are sent in order; rows and notes are sent in order too. A checkpoint may overtake rows,
    so its manifest names the first row that was not recorded. A file that takes long or fails does not delay the state.
    During outages of the service or the store, the queue retries while the lease is valid. After a failure that ends
    the attempt, it sends nothing more. `troubles`: receives the failures that are retried.
    """

    def __init__(
        self, check: Callable[[], None], lose: Callable[[str], None], troubles: StoreTroubles | None = None
    ) -> None:
        self._check, self._lose = check, lose
        self._troubles = troubles or StoreTroubles()
        self._changed = threading.Condition()
        self._closed = self._cancelled = self._hurried = False
        self._failure: BaseException | None = None
        self._state = UploadLane("uploads", self._changed, self._deliver, self._may_send)
        self._files = UploadLane("upload-files", self._changed, self._deliver, self._may_send)

    def put(self, task: UploadTask) -> None:
        """Queues a task. Tasks that it supersedes are not sent. Raises the failure of an earlier task, if any."""
        with self._changed:
            self.check()
            if self._closed or self._dropped(task):
                task.settled()
            else:
                (self._files if task.optional else self._state).put(task)

    def check(self) -> None:
        """Raises the failure that stopped the queue, if any."""
        if self._failure is not None:
            raise self._failure

    def still_wanted(self) -> None:
        """Raises GivenUp if a task must not be committed any more. Call it between the upload and the commit."""
        with self._changed:
            if self._closed or self._cancelled or self._failure is not None:
                raise GivenUp("the attempt ends")

    def hurry(self) -> None:
        """Drops the waiting files and shortens the pauses between tries."""
        with self._changed:
            self._hurried = True
            self._files.drop()

    def cancel(self) -> None:
        """Drops all tasks that write to the store. An upload in progress is not committed."""
        with self._changed:
            if not self._cancelled:
                self._cancelled = self._hurried = True
                for lane in (self._state, self._files):
                    lane.drop(self._dropped)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @property
    def saved(self) -> bool:
        """Whether no checkpoint waits or is being sent."""
        with self._changed:
            return not any(task.saves for task in self._state.unsent)

    def flush(self, *, seconds: float | None = None, hurry: bool = False, files: bool = True) -> bool:
        """Waits until all tasks are sent, at most `seconds`. False: the time limit was reached.

        `hurry`: call `hurry()`, and wait only for the state. `files`: whether to wait for the files too.
        """
        if hurry:
            self.hurry()
        lanes = (self._state, self._files) if files and not hurry else (self._state,)
        with self._changed:
            done = self._changed.wait_for(lambda: self._failure or all(lane.idle for lane in lanes), seconds)
        self.check()
        return bool(done)

    def give_up_files(self, error: Exception) -> None:
        """Drops the files that are not sent yet, and reports each of them as lost."""
        with self._changed:
            lost = self._files.unsent
            self._hurried = True
            self._files.drop()
        for task in lost:
            self._report_lost(task, error)

    def close(self) -> None:
        """Drops the waiting tasks and ends the threads. Does not wait for a call that hangs."""
        with self._changed:
            self._closed = True
            for lane in (self._state, self._files):
                lane.close()
        until = time.monotonic() + JOIN_SECONDS
        for lane in (self._state, self._files):
            lane.join(max(0.0, until - time.monotonic()))

    def _may_send(self) -> bool:
        return self._failure is None

    def _dropped(self, task: UploadTask) -> bool:
        return (self._cancelled and task.saves) or (self._hurried and task.optional)

    def _deliver(self, task: UploadTask) -> None:
        try:
            self._troubles.retry_call(task.what, task.send, wait=lambda seconds: self._pause(task, seconds))
        except GivenUp as error:
            log.info("%s is abandoned: %s", task.what, error)
        except LeaseLost as error:
            self._lose(str(error))
            self._fail(error)
        except BaseException as error:
            self._failed(task, error)

    def _failed(self, task: UploadTask, error: BaseException) -> None:
        # A wrong store ends the attempt, even if only a file failed: all later uploads would go to the wrong store too.
        wrong = isinstance(error, JobFailure) and error.reason == Reason.WRONG_STORE
        if not task.optional or wrong or not isinstance(error, Exception):
            self._fail(error)
            return
        log.warning("%s failed; training continues", task.what, exc_info=error)
        self._report_lost(task, error)

    def _report_lost(self, task: UploadTask, error: Exception) -> None:
        try:
            if task.lost is not None:
                task.lost(error)
        except Exception:
            log.exception("could not report the failure of %s", task.what)

    def _pause(self, task: UploadTask, seconds: float) -> None:
        """Waits between two tries. Raises GivenUp if there is no further try of the task, and LeaseLost."""
        until = time.monotonic() + seconds
        with self._changed:
            while True:
                self._check()
                if self._closed or self._failure is not None or self._dropped(task):
                    raise GivenUp("the attempt ends")
                left = until - time.monotonic()
                if left <= 0 or (self._hurried and seconds - left >= HURRIED_WAIT_SECONDS):
                    return
                self._changed.wait(min(left, HURRIED_WAIT_SECONDS))

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if not self._closed:
                log.error("could not send: %s", error)
            self._failure = self._failure or error
            for lane in (self._state, self._files):
                lane.drop()
