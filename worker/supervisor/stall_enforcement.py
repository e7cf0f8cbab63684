"""Kills a training process that makes no progress or does not end in time, and reports the reason."""

from __future__ import annotations

import logging

from baton.domain.errors import LeaseLost
from baton.domain.note_limits import fitting_data, fitting_text
from baton.domain.reasons import Reason
from baton.domain.wire import Finish, Note, Outcome
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.ipc.messages import Held
from worker.retry import retry_call
from worker.supervisor.process import TrainingProcess
from worker.supervisor.stall_detector import Stall, StallDetector

KIND = "stalled"
NOTE_SECONDS = 10.0
SLOW_CANCEL = "the training process did not end in time after the cancellation, and was killed"
log = logging.getLogger(__name__)


class StallEnforcement:
    """Watches and, if necessary, kills the process of one attempt. `ended_it`: whether it has killed the process."""

    def __init__(self, training: TrainingProcess) -> None:
        self._training = training
        self._detector = StallDetector(training.progress)
        self._stall: Stall | None = None
        self._frame = ""
        self._cancelled = self.ended_it = False

    def look(self) -> None:
        """Kills the process if it has stalled or should have ended by now. Call it twice a second."""
        if self.ended_it or not self._training.alive:
            return
        if stall := self._detector.look():
            self._end_stalled(stall)
        elif self._detector.overdue:
            self._cancelled = self._training.progress().cancelled
            why = "its job was cancelled" if self._cancelled else "its lease is lost"
            log.error("the training process does not end although %s: killing it", why)
            self._kill()

    def _end_stalled(self, stall: Stall) -> None:
        log.error("the training process has stalled: %s; writing its stacks to the attempt's log", stall)
        frame = self._training.write_stacks()
        if not self._training.alive or self._detector.look() is None:
            log.warning("the training process made progress meanwhile: not killing it")
            return
        self._stall, self._frame = stall, frame
        self._kill()

    def _kill(self) -> None:
        self.ended_it = True
        self._training.kill()

    def final_message(self, held: Held) -> Finish | None:
        """The message that ends an attempt whose process was killed here; None if the lease is lost."""
        if self._stall is not None:
            return Finish(
                fence=held.fence, outcome=Outcome.FAILED, reason=Reason.STALLED, message=self._text(self._stall)
            )
        if self._cancelled:
            return Finish(fence=held.fence, outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, message=SLOW_CANCEL)
        return None

    def report_stall(self, client: ServiceClient, held: Held) -> None:
        """Adds an event to the job's log if the process stalled. Retries for at most NOTE_SECONDS."""
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
            log.warning("could not add the stall to the job's log: %s", error)

    def _text(self, stall: Stall) -> str:
        place = f", in {self._frame}" if self._frame else ""
        return f"{stall}{place}; the stacks of all threads are in the attempt's log"
