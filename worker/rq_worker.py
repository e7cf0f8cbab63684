"""The RQ worker. A message is a hint with an attempt id; whose the attempt is decides the service, not Redis."""

from __future__ import annotations

import logging
import re
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import redis
from rq import Queue
from rq.exceptions import DeserializationError, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import Worker
from rq.worker.base import WorkerStatus

from core.domain.queues import FUNCTION
from core.domain.wire import Finish, Outcome
from worker.patience import persist
from worker.process import TRAINER, TrainingProcess
from worker.protocol import ServiceClient

ATTEMPT_ID = re.compile(r"[0-9a-f]{32}")
POLL_SECONDS = 0.5
WARM_POLL_SECONDS, WARM_UP_SECONDS = 0.05, 120.0
REDIS_BEAT_SECONDS = 15
DEATH_REPORT_SECONDS = 60.0
log = logging.getLogger(__name__)


def attempt_of(job: Job) -> str | None:
    """The attempt that a message is about; None for whatever is not the one message that Baton sends."""
    try:
        function, arguments = job.func_name, job.args
    except DeserializationError:
        return None
    if function != FUNCTION or len(arguments) != 1 or not ATTEMPT_ID.fullmatch(str(arguments[0])):
        return None
    return str(arguments[0])


class BatonWorker(Worker):
    """Runs attempts in a process of their own and nothing else, whatever a message names."""

    def __init__(
        self,
        queues: list[Queue],
        client: ServiceClient,
        *,
        busy: threading.Event,
        grace: float,
        module: str = TRAINER,
        **options: Any,
    ) -> None:
        self._client, self._busy, self._grace, self._module = client, busy, grace, module
        self._training: TrainingProcess | None = None
        super().__init__(queues, serializer=JSONSerializer, job_monitoring_interval=REDIS_BEAT_SECONDS, **options)

    @property
    def stop_asked(self) -> bool:
        """Whether a signal asked this worker to end."""
        return bool(self._stop_requested)

    def warm_up(self) -> None:
        """Has a training process wait with TensorFlow imported."""
        if self._training is None or not self._training.alive:
            self._drop_training()
            self._training = TrainingProcess(self._module)

    def close(self) -> None:
        """Ends the training process that waits."""
        self._drop_training()

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Takes a message once the training process is warm: another worker may be, and would begin at once."""
        self._await_warm()
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Runs the attempt of a message to its end. Nothing that Redis does can end it."""
        del queue
        attempt_id = attempt_of(job)
        if attempt_id is None:
            log.error("dropped message %s: it is none of Baton's", job.id)
            self._quietly(job.delete)
            return
        self._busy.set()
        execution = self._quietly(lambda: self.prepare_execution(job))
        try:
            self._train(attempt_id, lambda: self._quietly(lambda: self._beat_redis(job, execution)))
        finally:
            self._busy.clear()
            self._quietly(lambda: self._settle(job, execution))
            self._quietly(lambda: self.set_state(WorkerStatus.IDLE))
        if not self._stop_requested:
            self.warm_up()

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Ends the training process alone: it shares our process group, which RQ's own way would kill."""
        del sig
        if self._training is not None:
            self._training.kill()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """RQ leaves the work horse alone and asks Redis; ours is told, so that it saves and hands over."""
        del signum, frame
        self._stop_requested, self._shutdown_requested_date = True, datetime.now(UTC)
        signal.signal(signal.SIGINT, self.request_force_stop)
        signal.signal(signal.SIGTERM, self.request_force_stop)
        if not self._busy.is_set():
            raise StopRequested
        if self._training is not None:
            self._training.notify()

    def _await_warm(self) -> None:
        self.warm_up()
        training, give_up = self._training, time.monotonic() + WARM_UP_SECONDS
        while training is not None and not training.ready and time.monotonic() < give_up:
            # One that dies of its imports is found out when it is given something to do.
            if training.wait(WARM_POLL_SECONDS):
                break

    def _train(self, attempt_id: str, beat: Callable[[], object]) -> None:
        self.warm_up()
        training = self._training
        if training is None:
            raise RuntimeError("no training process")
        if self._give(training, attempt_id) and self._watch(training, attempt_id, beat):
            self._report_death(training)
            self._drop_training()

    def _give(self, training: TrainingProcess, attempt_id: str) -> bool:
        try:
            training.assign(attempt_id)
        except OSError as error:
            log.error("the training process is gone before it began: %s", error)
            self._drop_training()
            return False
        if self._stop_requested:
            training.notify()
        return True

    def _watch(self, training: TrainingProcess, attempt_id: str, beat: Callable[[], object]) -> bool:
        """Whether the process has ended; False if it did not get the attempt and waits for another."""
        waited, asked_to_stop = 0.0, 0.0
        while not training.wait(POLL_SECONDS):
            if training.refused(attempt_id):
                return False
            waited += POLL_SECONDS
            if waited >= REDIS_BEAT_SECONDS:
                waited = 0.0
                beat()
            asked_to_stop += POLL_SECONDS * self._stop_requested
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

    def _drop_training(self) -> None:
        if self._training is not None:
            self._training.close()
            self._training = None

    def _beat_redis(self, job: Job, execution: Execution | None) -> None:
        if execution is not None:
            self.maintain_heartbeats(job, execution)

    def _settle(self, job: Job, execution: Execution | None) -> None:
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline=pipeline, execution=execution)
            pipeline.delete(job.key)
            pipeline.execute()

    def _quietly(self, call: Callable[[], Any]) -> Any:
        """Redis only carries hints: that it is away ends nothing."""
        try:
            return call()
        except (redis.RedisError, OSError) as error:
            log.warning("Redis: %s", error)
            return None


def listen(names: list[str], connection: redis.Redis) -> list[Queue]:
    """RQ queues that read JSON and nothing else."""
    return [Queue(name, connection=connection, serializer=JSONSerializer) for name in names]
