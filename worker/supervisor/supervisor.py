"""Runs one attempt at a time in a separate training process. Independent of the attempt source."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from baton.domain.spec.limits import DEFAULT_STALL
from baton.domain.wire import Finish, Outcome
from baton.telemetry import log_context
from worker.api_client.client import ServiceClient
from worker.log_shipping.shipper import Logs
from worker.preemption.deadline import Cost, Deadline
from worker.preemption.notice import NoticeDetails
from worker.retry import retry_call
from worker.store_access.own_store import WorkerStore
from worker.supervisor.crashes import Crashes
from worker.supervisor.final_message import final_message
from worker.supervisor.liveness import LivenessFile
from worker.supervisor.process import TRAINER, TrainingProcess
from worker.supervisor.program_spare import ProgramSpare
from worker.supervisor.stall_enforcement import StallEnforcement

POLL_SECONDS = 0.5
WARM_POLL_SECONDS, WARM_UP_SECONDS = 0.05, 120.0
BEAT_SECONDS = 15
DEVICE_AGAIN_SECONDS = 60.0
"""Time until a new training process checks an unusable device again."""
DEATH_REPORT_SECONDS = 60.0
LAST_LINES_SECONDS = 10.0
log = logging.getLogger(__name__)


def no_wait() -> None:
    """The default of `Supervisor.end_wait`: no thread waits for attempts."""


class Supervisor:
    """Runs attempts in a training process that stays warm between attempts.

    `busy`: an attempt is in progress. `stopping`: the worker ends after the current attempt. `grace`: seconds from a
    signal until a training process that does not hand over is killed. `logs`: ships the output of the training
    processes. `module`: the module that they run. `deadline`: the end of the worker's session. `end_wait`: ends the
    wait for attempts; called in the main thread. `device`: the device that the training process reports.
    `problem`: why that device cannot be used. `liveness`: the liveness file of the main thread. The supervisor takes no
    attempt while there is a `problem`, while `store` is unusable, or during a pause that `crashes` demands.
    `program_module`: the module that the processes of programs run; None: this worker runs no programs.
    """

    def __init__(
        self,
        client: ServiceClient,
        *,
        grace: float,
        logs: Logs,
        module: str = TRAINER,
        deadline: Deadline | None = None,
        liveness: LivenessFile | None = None,
        store: WorkerStore | None = None,
        program_module: str | None = None,
    ) -> None:
        self._client, self._grace, self._logs, self._module = client, grace, logs, module
        self._spare = ProgramSpare(None if program_module == module else program_module, logs)
        self._deadline = deadline or Deadline(grace=grace)
        self._training: TrainingProcess | None = None
        self._notice: NoticeDetails | None = None
        self._notice_ends_at = math.inf
        self._too_late, self._started = False, time.monotonic()
        self._enforcement: StallEnforcement | None = None
        self._idle_since = self._started
        self.liveness = liveness or LivenessFile()
        self.store = store
        self.crashes = Crashes()
        self.device = "cpu"
        self.problem: str | None = None
        self.busy = self.stopping = False
        self.end_wait: Callable[[], object] = no_wait

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._spare.close()
        self._logs.close(LAST_LINES_SECONDS)

    def warm_up(self) -> None:
        """Starts a training process if there is none. The process imports TensorFlow and waits for an attempt."""
        if self._training is None or not self._training.alive:
            self.close()
            self._training = TrainingProcess(self._module, self._logs.new())
            self._started = time.monotonic()
            self._idle_since = self._started + WARM_UP_SECONDS
        self._spare.warm_up()

    def await_warm(self) -> bool:
        """Waits for the training process to become ready. False if it does not, or if the worker is asked to end."""
        if self.stopping:
            return False
        self.warm_up()
        training, give_up = self._training, time.monotonic() + WARM_UP_SECONDS
        while training is not None and not training.ready and time.monotonic() < give_up:
            self.liveness.beat()
            if self.stopping or training.wait(WARM_POLL_SECONDS):
                return False
        now = time.monotonic()
        if training is not None and not training.ready and now - self._started > DEFAULT_STALL:
            log.error("the training process did not become ready within %.0f s; starting another one", DEFAULT_STALL)
            self.close()
            training = None
        self._idle_since = min(self._idle_since, now)
        self._deadline.warmed_up(now - self._started)
        self._retire_if_too_late()
        self._update_device(training)
        return training is not None and training.ready

    def await_device(self, seconds: float = BEAT_SECONDS) -> bool:
        """Waits at most `seconds` for a usable device. Every DEVICE_AGAIN_SECONDS a new training process checks again.

        Returns whether it is usable; False if the worker is asked to end.
        """
        return self._wait_until(lambda: self.problem is None, seconds, self._check_device_again)

    def _check_device_again(self) -> None:
        if time.monotonic() - self._started > DEVICE_AGAIN_SECONDS:
            self.close()
            self.await_warm()

    def await_store(self, seconds: float = BEAT_SECONDS) -> bool:
        """Waits at most `seconds` for the store. Returns whether it is usable; False if the worker is asked to end."""
        return self._wait_until(lambda: self.store is None or self.store.usable, seconds)

    def await_rest(self, seconds: float = BEAT_SECONDS) -> bool:
        """Waits at most `seconds` for the end of a pause after crashes. Returns whether the worker may take work."""
        return self._wait_until(lambda: not self.crashes.left, seconds)

    def _wait_until(
        self, ready: Callable[[], bool], seconds: float, between: Callable[[], None] = lambda: None
    ) -> bool:
        give_up = time.monotonic() + seconds
        while not ready():
            self.liveness.beat()
            if self.stopping or time.monotonic() > give_up:
                return False
            between()
            time.sleep(WARM_POLL_SECONDS)
        return not self.stopping

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Call it for an offered attempt. Within this context, a request to end waits until the attempt has ended."""
        self.busy = True
        try:
            yield
        finally:
            self._idle_since = time.monotonic()
            self.busy = False

    @property
    def idle(self) -> float:
        """Seconds for which the worker has been ready for an attempt without getting one."""
        return 0.0 if self.busy else max(0.0, time.monotonic() - self._idle_since)

    def train(self, attempt_id: str, beat: Callable[[], object] = lambda: None) -> bool:
        """Runs an attempt to its end. False if this worker did not claim it. Calls `beat` every BEAT_SECONDS."""
        log_context.for_process(attempt_id=attempt_id)
        try:
            return self._train(attempt_id, beat)
        finally:
            log_context.for_process(attempt_id=None, job=None, attempt=None)

    def _train(self, attempt_id: str, beat: Callable[[], object]) -> bool:
        self.warm_up()
        training, self._too_late = self._training, False
        if training is None:
            raise RuntimeError("no training process")
        if not self._assign(training, attempt_id) or not self._watch(training, beat):
            return False
        self._update_device(training)
        if (wrong := training.wrong()) is not None and (spare := self._spare.take()) is not None:
            self.close()  # frees the GPU and the memory before the program starts
            training = self._training = spare
            if not self._assign(training, attempt_id, wrong.claim_id) or not self._watch(training, beat):
                self.close()  # it cannot train classifiers
                return False
        if ended := training.given_back():
            self._deadline.cost = Cost(ended.startup, ended.handover)
        claimed = training.held() is not None
        self._count(training, attempt_id, self._report_death(training))
        self.close()
        self._retire_if_too_late()
        return claimed

    def stop(self, cause: str = "asked to end") -> None:
        """Asks the worker to end, as a signal does: a running attempt is saved and handed over."""
        self.handle_notice(NoticeDetails("signal", cause, self._grace))

    def handle_notice(self, details: NoticeDetails) -> None:
        """Handles a preemption notice: starts no more attempts, and notifies the training process.

        If the notice is certain, the running attempt is handed over. Otherwise its state is saved and it continues. Of
        several notices, the first cause and the shortest time count. Safe in a signal handler.
        """
        text = f"{details.seconds:.0f} s left" if details.certain else "the machine may be preempted"
        log.warning("%s: %s", details, text)
        if details.certain:
            self._notice = self._notice or details
            self._notice_ends_at = min(self._notice_ends_at, time.monotonic() + details.seconds)
        self.stopping = True
        if self._training is not None and (self.busy or self._training.busy):
            self._training.notify(details)

    def retire(self, why: str) -> None:
        """Starts no more attempts. A running attempt continues to its end."""
        if not self.stopping:
            log.info("%s: no more attempts are started", why)
        self.stopping = True

    def _retire_if_too_late(self) -> None:
        if why := self._deadline.too_late:
            self.retire(why)

    def _update_device(self, training: TrainingProcess | None) -> None:
        self.device = (training and training.device) or self.device
        self.problem = (training and training.problem) or None

    def kill(self) -> None:
        """Kills the training process."""
        if self._training is not None:
            self._training.kill()

    def close(self) -> None:
        """Kills and closes the training process. The next attempt gets a new one."""
        if self._training is not None:
            self._training.close()
            self._training = None

    def _assign(self, training: TrainingProcess, attempt_id: str, claim_id: str | None = None) -> bool:
        try:
            training.assign(attempt_id, self._deadline, claim_id)
        except OSError as error:
            log.error("the training process ended before it got the attempt: %s", error)
            self.close()
            return False
        if self._notice is not None:
            training.notify(replace(self._notice, seconds=max(0.0, self._notice_ends_at - time.monotonic())))
        return True

    def _watch(self, training: TrainingProcess, beat: Callable[[], object]) -> bool:
        """Waits for the end of the process. Returns False if the process did not get the attempt and still runs."""
        beaten, enforcement = time.monotonic(), StallEnforcement(training)
        self._enforcement = enforcement
        while not training.wait(POLL_SECONDS) and not training.abandoned:
            self.liveness.beat()
            if training.wrong():
                return True
            enforcement.look()
            if held := training.held():
                log_context.for_process(job=held.job_id, attempt=held.attempt)
            if training.refused():
                if self.store is not None:
                    self.store.recheck()
                return False
            if time.monotonic() - beaten >= BEAT_SECONDS:
                beaten = time.monotonic()
                beat()
            if time.monotonic() >= min(self._notice_ends_at, self._deadline.ends_at):
                self._too_late = True
                log.error("the training process did not hand over in time: killing it")
                training.kill()
        return True

    def _count(self, training: TrainingProcess, attempt_id: str, death: Finish | None) -> None:
        """Passes the end of the attempt to `crashes`, which counts the crashes that the machine may have caused."""
        held, ended = training.held(), death or training.given_back()
        if held is not None and ended is not None:
            self.crashes.ended(held.job_id, ended.outcome, ended.reason, ended.fault)
        elif held is None and not self._too_late and (crash := training.death()):  # before the claim
            self.crashes.ended(attempt_id, Outcome.FAILED, crash.reason)

    def _report_death(self, training: TrainingProcess) -> Finish | None:
        """Ends the attempt of a process that died, and returns the message. None if there is nothing to report."""
        held = None if training.given_back() else training.held()
        too_late = f"{self._notice or self._deadline.text}" if self._too_late else None
        finish = None if held is None else final_message(training, held, self._enforcement, too_late)
        if held is None or finish is None:
            return None
        log.error("%s", finish.message)
        self._client.hold(held.attempt_id, held.token, held.protocol)
        if self._enforcement is not None:
            self._enforcement.report_stall(self._client, held)
        try:
            retry_call(lambda: self._client.finish(held.attempt_id, finish), seconds=DEATH_REPORT_SECONDS)
        except Exception as error:
            log.warning("could not report the end of the attempt; its lease will expire: %s", error)
        return finish
