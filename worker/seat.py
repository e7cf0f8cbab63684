"""Where a worker trains: one attempt at a time, in a process of its own. Knows not from where attempts come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.domain.wire import Finish, Outcome
from worker.patience import persist
from worker.process import TRAINER, TrainingProcess
from worker.protocol import ServiceClient

POLL_SECONDS = 0.5
WARM_POLL_SECONDS, WARM_UP_SECONDS = 0.05, 120.0
BEAT_SECONDS = 15
DEATH_REPORT_SECONDS = 60.0
log = logging.getLogger(__name__)


class Seat:
    """Runs attempts in a training process that waits warm for the next one.

    `busy`: an attempt came and has not ended. `stopping`: the worker was asked to end. `grace`: seconds from that until
    a training process that does not hand over is killed. `module`: what the training processes run.
    """

    def __init__(self, client: ServiceClient, *, grace: float, module: str = TRAINER) -> None:
        self._client, self._grace, self._module = client, grace, module
        self._training: TrainingProcess | None = None
        self.busy = self.stopping = False

    def __enter__(self) -> Seat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Has a training process wait with TensorFlow imported."""
        if self._training is None or not self._training.alive:
            self.close()
            self._training = TrainingProcess(self._module)

    def await_warm(self) -> bool:
        """Whether the training process got ready; False too where the worker is asked to end meanwhile."""
        self.warm_up()
        training, give_up = self._training, time.monotonic() + WARM_UP_SECONDS
        while training is not None and not training.ready and time.monotonic() < give_up:
            if self.stopping or training.wait(WARM_POLL_SECONDS):
                return False
        return training is not None and training.ready

    @contextmanager
    def taken(self) -> Iterator[None]:
        """An attempt came: from here on whoever asks to end waits for that of the attempt."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def train(self, attempt_id: str, beat: Callable[[], object] = lambda: None) -> bool:
        """Runs an attempt to its end; False if it was not claimed here. Calls `beat` every BEAT_SECONDS."""
        self.warm_up()
        training = self._training
        if training is None:
            raise RuntimeError("no training process")
        if not self._give(training, attempt_id) or not self._watch(training, attempt_id, beat):
            return False
        claimed = training.held() is not None
        self._report_death(training)
        self.close()
        return claimed

    def stop(self) -> None:
        """Asks to end: an attempt that is trained is saved and handed over."""
        self.stopping = True
        if self.busy and self._training is not None:
            self._training.notify()

    def kill(self) -> None:
        """Ends the training process, whatever it does."""
        if self._training is not None:
            self._training.kill()

    def close(self) -> None:
        """Ends the training process for good; the next attempt gets another."""
        if self._training is not None:
            self._training.close()
            self._training = None

    def _give(self, training: TrainingProcess, attempt_id: str) -> bool:
        try:
            training.assign(attempt_id)
        except OSError as error:
            log.error("the training process is gone before it began: %s", error)
            self.close()
            return False
        if self.stopping:
            training.notify()
        return True

    def _watch(self, training: TrainingProcess, attempt_id: str, beat: Callable[[], object]) -> bool:
        """Whether the process has ended; False if it did not get the attempt and waits for another."""
        waited, asked_to_stop = 0.0, 0.0
        while not training.wait(POLL_SECONDS):
            if training.refused(attempt_id):
                return False
            waited += POLL_SECONDS
            if waited >= BEAT_SECONDS:
                waited = 0.0
                beat()
            asked_to_stop += POLL_SECONDS * self.stopping
            if asked_to_stop >= self._grace:
                log.error("the training process did not hand over within %.0f s", self._grace)
                training.kill()
        return True

    def _report_death(self, training: TrainingProcess) -> None:
        death, held = training.death(), training.held()
        if death is None or held is None:
            return
        log.error("%s", death.message)
        finish = Finish(fence=held.fence, outcome=Outcome.FAILED, reason=death.reason, message=death.message)
        try:
            persist(lambda: self._client.finish(held.attempt_id, finish), seconds=DEATH_REPORT_SECONDS)
        except Exception as error:
            log.warning("could not report it, the lease will expire: %s", error)
