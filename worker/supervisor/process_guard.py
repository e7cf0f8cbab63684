"""Ends a training process that makes no progress, or does not end when it should, and says why."""

from __future__ import annotations

import logging

from baton.domain.errors import LeaseLost
from baton.domain.note_limits import fitting_data, fitting_text
from baton.domain.policies import Reason
from baton.domain.wire import Finish, Note, Outcome
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.ipc.messages import Held
from worker.retry import retry_call
from worker.supervisor.process import TrainingProcess
from worker.supervisor.watchdog import Stall, Watchdog

KIND = "stalled"
NOTE_SECONDS = 10.0
SLOW_CANCEL = "the training process did not end within its time after the cancellation, and was killed"
log = logging.getLogger(__name__)


class ProcessGuard:
    """Of one attempt. `ended_it`: it has killed the process."""

    def __init__(self, training: TrainingProcess) -> None:
        self._training = training
        self._watchdog = Watchdog(training.progress)
        self._stall: Stall | None = None
        self._frame = ""
        self._cancelled = self.ended_it = False

    def look(self) -> None:
        """Kills the process if it has stalled, or should have ended by now. To be called twice a second."""
        if self.ended_it or not self._training.alive:
            return
        if stall := self._watchdog.look():
            self._end_stalled(stall)
        elif self._watchdog.overdue:
            self._cancelled = self._training.progress().cancelled
            why = "its job was cancelled" if self._cancelled else "its lease is lost"
            log.error("the training process does not end although %s: it is killed", why)
            self._kill()

    def _end_stalled(self, stall: Stall) -> None:
        log.error("the training process has stalled: %s; its stacks are written to the attempt's log", stall)
        frame = self._training.write_stacks()
        if not self._training.alive or self._watchdog.look() is None:
            log.warning("the training process went on meanwhile and is not killed")
            return
        self._stall, self._frame = stall, frame
        self._kill()

    def _kill(self) -> None:
        self.ended_it = True
        self._training.kill()

    def last_words(self, held: Held) -> Finish | None:
        """The end of an attempt whose process was killed here; None where the attempt is another's."""
        if self._stall is not None:
            return Finish(
                fence=held.fence, outcome=Outcome.FAILED, reason=Reason.STALLED, message=self._text(self._stall)
            )
        if self._cancelled:
            return Finish(fence=held.fence, outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, message=SLOW_CANCEL)
        return None

    def tell(self, client: ServiceClient, held: Held) -> None:
        """Adds the event of a stall to the job's log; the end of the attempt does not wait long for it."""
        if self._stall is None:
            return
        data = {"seconds": round(self._stall.seconds, 1), "limit": self._stall.limit, "doing": self._stall.doing}
        note = Note(
            fence=held.fence,
            kind=KIND,
            message=fitting_text(self._text(self._stall)),
            data=fitting_data(data | {"frame": self._frame}),
        )
        try:
            retry_call(lambda: client.note(held.attempt_id, note), seconds=NOTE_SECONDS)
        except (LeaseLost, Refused, ServiceUnavailable) as error:
            log.warning("the job's log does not tell of the stall: %s", error)

    def _text(self, stall: Stall) -> str:
        place = f", in {self._frame}" if self._frame else ""
        return f"{stall}{place}; the stacks of all threads are in the attempt's log"
