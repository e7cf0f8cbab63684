"""Workers that find no work end by themselves, with Redis and with polling.

Until then their liveness file is updated.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.service import ROOT
from tests.support.worker import WorkerProcess, Workers
from tests.support.worker import workers as make_workers
from worker.api_client.client import ServiceClient
from worker.health import STALE_SECONDS
from worker.log_shipping.shipper import Logs
from worker.supervisor.liveness import LivenessFile
from worker.supervisor.rq_source import BatonWorker, listen
from worker.supervisor.supervisor import Supervisor

pytestmark = pytest.mark.process


@pytest.fixture
def workers(service: object, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:  # type: ignore[arg-type]
        yield made


def healthy(file: Path) -> bool:
    environment = {**os.environ, "BATON_HEALTH_FILE": str(file)}
    done = subprocess.run([sys.executable, "-m", "worker.health"], cwd=ROOT, env=environment, check=False)
    return done.returncode == 0


def ended(worker: WorkerProcess) -> int:
    assert worker.process is not None
    return worker.process.wait(90.0)


def test_without_work_they_end_after_what_there_was(jobs: Jobs, workers: Workers, tmp_path: Path) -> None:
    roads: dict[str, list[str]] = {"redis": [], "http": ["--poll"]}
    made = {name: jobs.submit(fast(queue=f"idle-{name}")) for name in roads}
    started = {
        name: workers.start("--idle", "15s", "--queue", f"idle-{name}", *road, BATON_HEALTH_FILE=str(tmp_path / name))
        for name, road in roads.items()
    }
    for name, job in made.items():
        assert jobs.await_end(job)["status"] == "succeeded"
        assert healthy(tmp_path / name)
    for worker in started.values():
        assert ended(worker) == 0
        assert "no work for 15 s (--idle)" in worker.log.read_text()


def test_between_two_waits_for_a_message_it_shows_that_it_lives(redis_url: str, tmp_path: Path) -> None:
    """RQ waits in one call to Redis. Before each wait, the worker updates the file."""
    file, connection = tmp_path / "health", redis.Redis.from_url(redis_url)
    client = ServiceClient("http://127.0.0.1:1", "token")
    supervisor = Supervisor(client, grace=1.0, logs=Logs(tmp_path.as_uri()), liveness=LivenessFile(file))
    worker = BatonWorker(listen(["nothing"], connection), supervisor, connection=connection)
    assert not file.exists()
    assert worker.dequeue_timeout + worker.max_connection_wait_time < STALE_SECONDS
    worker.heartbeat()
    assert healthy(file)


def test_a_bad_duration_is_refused(workers: Workers) -> None:
    worker = workers.start("--idle", "5")
    assert ended(worker) == 2
    assert "--idle (BATON_IDLE): must be a duration" in worker.log.read_text()
