"""A store that fails at any call: training continues, saving is retried, and no partial checkpoint is used."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import pytest

from baton.storage import BlobStore, open_store
from tests.contract.flaky_proxy import CUT_BODY, DROP_ANSWER, FlakyProxy, flaky_proxy
from tests.support.attempts import queued_attempt, runner
from tests.support.fake_trainer import FakeTrainer, final_state
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service
from tests.support.store_servers import KINDS, StoreServer, store_server, store_with_deadline
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.preemption.notice import Notice

STEPS = 60
SPEC = tiny(
    stages=[{"image_size": 8, "batch_size": 1, "epochs": 3, "steps_per_epoch": 20}],
    checkpoint={"every": "4 steps", "keep": 100},
)


METHODS = ("POST", "PUT", "GET", "HEAD")


@pytest.fixture(scope="module", params=KINDS)
def emulator(request: pytest.FixtureRequest) -> Iterator[StoreServer]:
    with store_server(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, emulator: StoreServer) -> Iterator[ServiceProcess]:
    settings = {**emulator.environ, "BATON_STORE": emulator.store_url("jobs-here")}
    folder = tmp_path_factory.mktemp("service")
    with running_redis() as redis, running_service(folder, redis.url, **settings) as process:
        yield process


@pytest.fixture
def proxy(emulator: StoreServer) -> Iterator[FlakyProxy]:
    with flaky_proxy(emulator.host) as running:
        yield running


@pytest.fixture
def store(proxy: FlakyProxy, emulator: StoreServer, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """The worker's access to the bucket, through the proxy."""
    set_environment(monkeypatch, emulator.environ_at(proxy.host))
    return store_with_deadline(emulator, "jobs-here", deadline=2)


def set_environment(monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def whole(jobs: Jobs, job: str, emulator: StoreServer, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of committed checkpoints. Each is read back from the bucket directly."""
    set_environment(monkeypatch, emulator.environ)
    direct = open_store(emulator.store_url("jobs-here"))
    committed = [row for row in jobs.items(job, "checkpoints") if row["state"] == "committed"]
    for row in committed:
        snapshot, _ = read_checkpoint(direct, row["prefix"])
        assert snapshot.arrays["state"].tobytes() == final_state(row["global_step"])
    return len(committed)


def writes_left(proxy: FlakyProxy) -> int:
    """How many planned faults of writes have not happened yet."""
    return proxy.left("POST") + proxy.left("PUT")


def test_faults_at_any_call(
    service: ServiceProcess,
    emulator: StoreServer,
    proxy: FlakyProxy,
    store: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = random.Random(emulator.store_url())
    for method in METHODS:
        proxy.plan(method, *dice.choices([0, 503, 429, 500, DROP_ANSWER, CUT_BODY], [9, 1, 1, 1, 1, 1], k=400))
    with service.client() as http:
        jobs = Jobs(http)
        job = jobs.submit(SPEC)
        notice = Notice()
        first = FakeTrainer(lambda step: notice.give("test") if step == 33 else None)
        assert runner(service, store, first, notice).run(queued_attempt(jobs, job))
        assert whole(jobs, job, emulator, monkeypatch) >= 6
        second = FakeTrainer()
        assert runner(service, store, second).run(queued_attempt(jobs, job))
        assert jobs.show(job)["status"] == "succeeded"
        assert second.started_at == [34]
        assert second.state == final_state(STEPS)
        assert whole(jobs, job, emulator, monkeypatch) >= 1
    assert writes_left(proxy) < 800


@pytest.mark.parametrize("emulator", ["s3"], indirect=True)  # the result does not depend on the vendor
def test_training_goes_on_while_the_store_is_away(
    service: ServiceProcess,
    emulator: StoreServer,
    proxy: FlakyProxy,
    store: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def weather(step: int) -> None:
        if step == 10:
            for method in METHODS:
                proxy.plan(method, *[503] * 100_000)
        if step == 50:
            until(lambda: writes_left(proxy) < 200_000, 60, "a save that failed")
            assert jobs.show(job)["checkpoint"] is None or jobs.show(job)["checkpoint"]["global_step"] <= 10
            until(lambda: "saving has failed for" in (jobs.show(job)["message"] or ""), 60, "the reason in the status")
            for method in METHODS:
                proxy.plan(method)

    with service.client() as http:
        jobs = Jobs(http)
        job = jobs.submit(SPEC)
        trainer = FakeTrainer(weather, patient=False)
        assert runner(service, store, trainer).run(queued_attempt(jobs, job))
        assert jobs.show(job)["status"] == "succeeded"
        assert trainer.state == final_state(STEPS)
        assert whole(jobs, job, emulator, monkeypatch) >= 1
        assert [row["epoch"] for row in jobs.items(job, "history")] == [1, 2, 3]
        assert [row["kind"] for row in jobs.items(job, "events")].count("store_failing") == 1
