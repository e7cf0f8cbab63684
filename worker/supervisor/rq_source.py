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
from worker.supervisor.supervisor import BEAT_SECONDS, Supervisor, no_wait

ATTEMPT_ID = re.compile(r"[0-9a-f]{32}")
RECONNECT_SECONDS = 1.0
TTL_SECONDS = 90
"""RQ keeps a silent worker in its list for this time. RQ waits for a message for 15 s less than this,
and then sends a heartbeat."""
log = logging.getLogger(__name__)


def attempt_of(job: Job) -> str | None:
    """The attempt id in a message; None if Baton did not send the message."""
    try:
        function, arguments = job.func_name, job.args
    except DeserializationError:
        return None
    if function != FUNCTION or len(arguments) != 1 or not ATTEMPT_ID.fullmatch(str(arguments[0])):
        return None
    return str(arguments[0])


class BatonWorker(Worker):
    """Runs attempts in its supervisor. It never calls the function that a message names.

    `once`: end after the first attempt. `done`: that attempt has ended. Messages whose attempts this worker did not
    claim do not count: they were stale, or another worker was faster.
    """

    def __init__(self, queues: list[Queue], supervisor: Supervisor, *, once: bool = False, **options: Any) -> None:
        self._supervisor, self._once, self.done = supervisor, once, False
        options |= {"job_monitoring_interval": BEAT_SECONDS, "worker_ttl": TTL_SECONDS}
        super().__init__(queues, serializer=JSONSerializer, **options)

    def subscribe(self) -> None:
        """Does nothing, so that RQ's commands over Redis cannot end this worker. Only the service may stop an attempt.

        Another reason: redis-py's subscriber thread and RQ both close the same connection. This once ended a worker.
        """

    def run_maintenance_tasks(self) -> None:
        """Does nothing. RQ's maintenance would import and call the callback that a message names, and send webhooks.

        Baton does not need it, because the service sends lost messages again.
        """

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Takes a message only when the training process is warm. Until then, warm workers can take the messages."""
        while not self._supervisor.await_rest() and not self._supervisor.stopping:
            self.heartbeat()
        # The result is not checked: if the process dies during its imports, the assignment of an attempt fails.
        self._supervisor.await_warm()
        while (
            not (self._supervisor.await_device() and self._supervisor.await_store()) and not self._supervisor.stopping
        ):
            self.heartbeat()
        if self._supervisor.stopping:
            raise StopRequested
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Also touches the liveness file. RQ calls this before each wait for a message."""
        self._supervisor.liveness.beat()
        super().heartbeat(timeout, pipeline)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Runs the attempt of a message to its end. Failures of Redis do not end it."""
        del queue
        attempt_id = attempt_of(job)
        if attempt_id is None:
            log.error("dropped message %s: Baton did not send it", job.id)
            self._ignore_redis_errors(job.delete)
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
                execution = self._ignore_redis_errors(lambda: self.prepare_execution(job))
                return self._supervisor.train(
                    attempt_id, lambda: self._ignore_redis_errors(lambda: self._beat_redis(job, execution))
                )
        finally:
            self._ignore_redis_errors(lambda: self._settle(job, execution))
            self._ignore_redis_errors(lambda: self.set_state(WorkerStatus.IDLE))

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kills only the training process. RQ would kill its process group, which is also the worker's."""
        del sig
        self._supervisor.kill()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Notifies the training process, so that it saves and hands over. RQ's own method would not notify it."""
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

    def _ignore_redis_errors(self, call: Callable[[], Any]) -> Any:
        """Logs errors of Redis and continues: Redis only carries hints."""
        try:
            return call()
        except (redis.RedisError, OSError) as error:
            log.warning("Redis: %s", error)
            return None


def listen(names: list[str], connection: redis.Redis) -> list[Queue]:
    """RQ queues that read only JSON."""
    return [Queue(name, connection=connection, serializer=JSONSerializer) for name in names]


def work(settings: WorkerSettings, supervisor: Supervisor, queues: list[str], *, once: bool) -> None:
    """Runs attempts from messages in Redis until the worker is asked to end; with `once`, only one attempt."""
    try:
        try:
            supervisor.end_wait = _stop_waiting
            while not _serve(settings, supervisor, queues, once=once):
                supervisor.liveness.beat()
                time.sleep(RECONNECT_SECONDS)
        finally:
            supervisor.end_wait = no_wait
    except StopRequested:
        log.info("asked to end while Redis was unavailable")


def _stop_waiting() -> NoReturn:
    raise StopRequested


def _serve(settings: WorkerSettings, supervisor: Supervisor, queues: list[str], *, once: bool) -> bool:
    """Whether the worker is to end; False after the connection to Redis was lost."""
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
        log.warning("Redis is unavailable, trying again: %s", error)
    finally:
        supervisor.close()
    return supervisor.stopping or done
