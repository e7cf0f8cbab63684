"""The same job on Google Cloud Storage's emulator, and messages in Redis that are not Baton's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from baton.domain.queues import FUNCTION, rq_queue
from baton.storage import open_store
from tests.integration.conftest import LEASE
from tests.support.gcs import GcsEmulator, gcs_emulator, until
from tests.support.jobs import Jobs, tiny
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import workers


@pytest.fixture(scope="module")
def emulator() -> Iterator[GcsEmulator]:
    with gcs_emulator() as running:
        yield running


@pytest.fixture(scope="module")
def cloud_service(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, emulator: GcsEmulator
) -> Iterator[ServiceProcess]:
    settings = {**LEASE, **emulator.environ, "BATON_STORE": emulator.store_url("prefix")}
    with running_service(tmp_path_factory.mktemp("service"), redis_url, **settings) as process:
        yield process


def test_a_job_on_cloud_storage_survives_a_kill(
    cloud_service: ServiceProcess, emulator: GcsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workers(cloud_service, tmp_path) as made, cloud_service.client() as http:
        jobs = Jobs(http)
        first = made.start()
        job = jobs.submit(tiny())
        jobs.await_job(job, lambda view: bool(view["checkpoint"]) and view["progress"]["global_step"] >= 30)
        first.kill_group()
        made.start()
        assert jobs.await_end(job)["status"] == "succeeded"
        assert [row["epoch"] for row in jobs.items(job, "history")] == [1, 2, 3, 4, 5]
        served = jobs.download(job, "best.keras")
    for name, value in emulator.environ.items():
        monkeypatch.setenv(name, value)
    store = open_store(emulator.store_url("prefix"))
    # The service updates the plain name in its next pass. Until then it may hold an earlier best model.
    plain = f"jobs/{job}/best.keras"
    until(lambda: store.stat(plain) is not None and store.get(plain) == served, 60, "the best under its plain name")


def test_foreign_messages_run_nothing(service: ServiceProcess, redis_url: str, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    connection = redis.Redis.from_url(redis_url)
    queue = Queue(rq_queue("default", "normal"), connection=connection, serializer=JSONSerializer)
    queue.enqueue_call("pathlib.Path.touch", args=[str(trap)], job_id="f" * 32)
    queue.enqueue_call(FUNCTION, args=["../../etc"], job_id="e" * 32)
    queue.enqueue_call(FUNCTION, args=["0" * 32], job_id="0" * 32)
    pickled = queue.enqueue_call(FUNCTION, args=["1" * 32], job_id="1" * 32)
    connection.hset(pickled.key, "data", b"cposix\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR.")
    with workers(service, tmp_path) as made, service.client() as http:
        made.start()
        jobs = Jobs(http)
        job = jobs.submit(tiny(stages=[{"image_size": 8, "batch_size": 8, "epochs": 1, "steps_per_epoch": 2}]))
        assert jobs.await_end(job)["status"] == "succeeded"
        # No worker listens to RQ's commands, which could end a worker or its job.
        assert connection.pubsub_channels("rq:pubsub:*") == []
    assert not trap.exists()
    assert not {"f" * 32, "e" * 32, "0" * 32, "1" * 32} & set(queue.job_ids)
    assert json.dumps(made.all[0].log.read_text()).count("Baton did not send it") == 3
