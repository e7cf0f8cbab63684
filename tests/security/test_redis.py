"""Messages from an attacker who reaches Redis: function names, callbacks, webhooks and pickles run nothing in a
worker.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq import Callback, Queue
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from baton.domain.queues import FUNCTION, rq_queue
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.redis import RedisServer
from tests.support.service import ROOT, ServiceProcess
from tests.support.worker import workers

pytestmark = pytest.mark.process

TRAP = "tests.security.trap.spring"


@pytest.fixture
def queue(redis_server: RedisServer) -> Iterator[Queue]:
    redis_server.client().flushall()
    yield Queue(rq_queue("default", "normal"), connection=redis_server.client(), serializer=JSONSerializer)


class Planted:
    """An object that calls the trap when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        from tests.security.trap import spring

        return spring, ()


def plant(queue: Queue) -> None:
    """Write every kind of message that would make RQ run code."""
    connection: redis.Redis = queue.connection
    queue.enqueue_call("os.system", args=["touch $BATON_TRAP"], job_id="a" * 32)
    queue.enqueue_call(TRAP, args=["x"], job_id="b" * 32)
    for number, data in enumerate((pickle.dumps(Planted()), zlib.compress(pickle.dumps(Planted())))):
        for field in ("data", "meta", "result"):
            job = queue.enqueue_call(FUNCTION, args=["c" * 32], job_id=f"{number}{field}".ljust(32, "0"))
            connection.hset(job.key, field, data)
    queue.enqueue_call(FUNCTION, args=["d" * 32], job_id="d" * 32, on_success=Callback(TRAP), on_failure=Callback(TRAP))
    abandon(queue)


def abandon(queue: Queue) -> None:
    """Write a message that looks as if its worker had died: RQ's own worker would call the function that it names."""
    job = queue.enqueue_call(FUNCTION, args=["e" * 32], job_id="e" * 32, on_failure=Callback(TRAP))
    queue.connection.lrem(queue.key, 0, job.id)
    queue.connection.hset(job.key, "status", "started")
    queue.connection.zadd(StartedJobRegistry(queue=queue).key, {f"{job.id}:x": 1})


def test_planted_messages_run_nothing(service: ServiceProcess, queue: Queue, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    plant(queue)
    with workers(service, tmp_path, "tests.support.fake_worker") as made, service.client() as http:
        made.start(BATON_TRAP=str(trap))
        jobs = Jobs(http)
        assert jobs.await_end(jobs.submit(fast()))["status"] == "succeeded"
    assert not trap.exists()
    assert queue.job_ids == []
    for _ in range(10):
        if not trap.exists():  # every ten seconds the service deletes the messages of dead workers
            abandon(queue)
            spring(queue, trap)
    assert trap.exists(), "the trap does not work: RQ's own worker did not run it either"


def spring(queue: Queue, trap: Path) -> None:
    """Let RQ's own worker process the abandoned message."""
    code = (
        "import sys; from redis import Redis; from rq import Queue; from rq.registry import clean_registries; "
        "from rq.serializers import JSONSerializer; "
        "clean_registries(Queue(sys.argv[1], connection=Redis.from_url(sys.argv[2]), serializer=JSONSerializer))"
    )
    port = queue.connection.connection_pool.connection_kwargs["port"]
    environment = {"PYTHONPATH": str(ROOT), "BATON_TRAP": str(trap)}
    command = [sys.executable, "-c", code, queue.name, f"redis://127.0.0.1:{port}/0"]
    subprocess.run(command, env=environment, check=True, timeout=120)
