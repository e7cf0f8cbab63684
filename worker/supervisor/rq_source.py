"""The RQ worker. A message is a hint with an attempt id: the claim at the service decides who gets the attempt."""

from __future__ import annotations

import logging
import re
import signal
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn

import redis
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import DeserializationError, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import Worker
from rq.worker.base import WorkerStatus

from baton.domain.queues import FUNCTION, rq_queues
from worker.settings import WorkerSettings
from worker.supervisor.supervisor import BEAT_SECONDS, Supervisor, nobody_waits

ATTEMPT_ID = re.compile(r"[0-9a-f]{32}")
RECONNECT_SECONDS = 1.0
TTL_SECONDS = 90
"""How long RQ lists a worker that fell silent; it waits for a message 15 s less, and then gives a sign of life."""
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
    """Runs attempts by its supervisor and nothing else, whatever a message names; with `once` it ends after the first.

    `done`: it did. A message whose attempt was not claimed here does not count: it is stale, or another was faster.
    """

    def __init__(self, queues: list[Queue], supervisor: Supervisor, *, once: bool = False, **options: Any) -> None:
        self._supervisor, self._once, self.done = supervisor, once, False
        options |= {"job_monitoring_interval": BEAT_SECONDS, "worker_ttl": TTL_SECONDS}
        super().__init__(queues, serializer=JSONSerializer, **options)

    def subscribe(self) -> None:
        """Nothing: RQ's commands over Redis end workers, and whoever may stop one here asks the service.

        redis-py's thread that would hear them closes its connection beside RQ, and ended a worker that way.
        """

    def run_maintenance_tasks(self) -> None:
        """Nothing: RQ's would import and call what a message names as its callback, and send it webhooks.

        Messages that got lost are sent again by the service.
        """

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Takes a message once the training process is warm: another worker may be, and would begin at once."""
        while not self._supervisor.await_rest() and not self._supervisor.stopping:
            self.heartbeat()
        # One that dies of its imports is found out when it is given something to do.
        self._supervisor.await_warm()
        while (
            not (self._supervisor.await_device() and self._supervisor.await_store()) and not self._supervisor.stopping
        ):
            self.heartbeat()
        if self._supervisor.stopping:
            raise StopRequested
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """RQ calls it before each wait for a message."""
        self._supervisor.liveness.beat()
        super().heartbeat(timeout, pipeline)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Runs the attempt of a message to its end. Nothing that Redis does can end it."""
        del queue
        attempt_id = attempt_of(job)
        if attempt_id is None:
            log.error("dropped message %s: it is none of Baton's", job.id)
            self._quietly(job.delete)
            return
        self.done = self._train(job, attempt_id) and self._once
        if self.done:
            raise StopRequested
        if not self._supervisor.stopping:
            self._supervisor.warm_up()

    def _train(self, job: Job, attempt_id: str) -> bool:
        """Whether the attempt was claimed here."""
        execution: Execution | None = None
        try:
            with self._supervisor.taken():
                execution = self._quietly(lambda: self.prepare_execution(job))
                return self._supervisor.train(
                    attempt_id, lambda: self._quietly(lambda: self._beat_redis(job, execution))
                )
        finally:
            self._quietly(lambda: self._settle(job, execution))
            self._quietly(lambda: self.set_state(WorkerStatus.IDLE))

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Ends the training process alone: it shares our process group, which RQ's own way would kill."""
        del sig
        self._supervisor.kill()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """RQ leaves the work horse alone and asks Redis; ours is told, so that it saves and hands over."""
        del frame
        self._stop_requested, self._shutdown_requested_date = True, datetime.now(UTC)
        signal.signal(signal.SIGINT, self.request_force_stop)
        signal.signal(signal.SIGTERM, self.request_force_stop)
        self._supervisor.stop(signal.Signals(signum).name)
        if not self._supervisor.busy:
            raise StopRequested

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


def work(settings: WorkerSettings, supervisor: Supervisor, queues: list[str], *, once: bool) -> None:
    """Runs what Redis tells of until the worker is asked to end, or with `once` until one attempt has ended."""
    try:
        try:
            supervisor.end_wait = _stop_waiting
            while not _serve(settings, supervisor, queues, once=once):
                supervisor.liveness.beat()
                time.sleep(RECONNECT_SECONDS)
        finally:
            supervisor.end_wait = nobody_waits
    except StopRequested:
        log.info("asked to end while Redis was away")


def _stop_waiting() -> NoReturn:
    raise StopRequested


def _serve(settings: WorkerSettings, supervisor: Supervisor, queues: list[str], *, once: bool) -> bool:
    """Whether the worker's work is done; False after a loss of Redis."""
    connection = redis.Redis.from_url(settings.redis_url, socket_keepalive=True, health_check_interval=30)
    name = f"{settings.worker_name}-{uuid.uuid4().hex[:8]}"
    done = False
    try:
        worker = BatonWorker(
            listen(rq_queues(queues), connection), supervisor, once=once, name=name, connection=connection
        )
        supervisor.warm_up()
        try:
            worker.work(logging_level="WARNING")
        finally:
            done = worker.done
    except (redis.RedisError, OSError) as error:
        log.warning("Redis is away, trying again: %s", error)
    finally:
        supervisor.close()
    return supervisor.stopping or done
