"""Attempts of a real run that fail or are paused at an exact step, against a real service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.storage import BlobStore, open_store
from tests.support.attempts import queued_attempt, runner
from tests.support.fake_trainer import FakeTrainer, final_state
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service

STEPS, ODD = 60, 33
SPEC = tiny(
    stages=[{"image_size": 8, "batch_size": 1, "epochs": 3, "steps_per_epoch": 20}],
    checkpoint={"every": "7 steps"},
    retry={"backoff": 0, "max_failures": 50},
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder: Path = tmp_path_factory.mktemp("service")
    with running_redis() as redis, running_service(folder, redis.url, BATON_HEARTBEAT_SECONDS="0.2") as process:
        yield process


@pytest.fixture
def store(service: ServiceProcess) -> BlobStore:
    return open_store(service.store_url)


def broken(error: Callable[[], Exception], *at: int) -> Callable[[int], None]:
    steps = list(at)

    def before_step(step: int) -> None:
        if steps and step == steps[0]:
            steps.pop(0)
            raise error()

    return before_step


def run(service: ServiceProcess, store: BlobStore, jobs: Jobs, job: str, trainer: FakeTrainer) -> dict[str, Any]:
    assert runner(service, store, trainer).run(queued_attempt(jobs, job))
    return jobs.show(job)


def ask(service: ServiceProcess, job: str, wish: str) -> dict[str, Any]:
    with service.client() as http:
        answer = http.post(f"/v1/jobs/{job}/{wish}")
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def test_a_run_that_fails_twice_at_its_step_fails_fast(service: ServiceProcess, store: BlobStore, jobs: Jobs) -> None:
    job = jobs.submit(SPEC)
    trainer = FakeTrainer(broken(lambda: ValueError("image 7 is broken"), ODD, ODD))
    assert run(service, store, jobs, job, trainer)["status"] == "recovering"
    ended = run(service, store, jobs, job, trainer)
    assert (ended["status"], ended["reason"], ended["failures"]) == ("failed", "deterministic_failure", 2)
    assert f"at step {ODD}" in ended["message"]
    assert ended["message"].endswith("ValueError: image 7 is broken")
    assert "before_step" in ended["message"]
    assert trainer.started_at[1] < ODD  # it resumed from a checkpoint and reached the same step again


@pytest.mark.parametrize("second", [ODD + 1, ODD - 1])
def test_one_step_off_is_another_failure(service: ServiceProcess, store: BlobStore, jobs: Jobs, second: int) -> None:
    job = jobs.submit(SPEC)
    trainer = FakeTrainer(broken(lambda: ValueError("bad luck"), ODD, second))
    for _ in range(2):
        assert run(service, store, jobs, job, trainer)["status"] == "recovering"
    assert run(service, store, jobs, job, trainer)["status"] == "succeeded"
    assert trainer.state == final_state(STEPS)


def test_memory_that_runs_out(service: ServiceProcess, store: BlobStore, jobs: Jobs) -> None:
    job = jobs.submit(SPEC)
    trainer = FakeTrainer(broken(MemoryError, ODD))
    recovering = run(service, store, jobs, job, trainer)
    assert (recovering["status"], recovering["reason"]) == ("recovering", "out_of_memory")
    assert "take a smaller batch_size or network.width" in recovering["message"]
    assert run(service, store, jobs, job, trainer)["status"] == "succeeded"


def test_a_pause_takes_effect_at_the_next_step_with_its_state_saved(
    service: ServiceProcess, store: BlobStore, jobs: Jobs
) -> None:
    def pause(step: int) -> None:
        if step == ODD:
            version = ask(service, job, "pause")["version"]
            # Each heartbeat increases the version. The worker sent the second heartbeat after the pause. It sends the
            # third heartbeat after the response to the second.
            until(lambda: jobs.show(job)["version"] >= version + 3, 60, "heartbeats after the pause")
            assert jobs.show(job)["status"] == "pausing"

    job = jobs.submit(SPEC)
    first = FakeTrainer(pause)
    paused = run(service, store, jobs, job, first)
    assert (paused["status"], paused["failures"], paused["preemptions"]) == ("paused", 0, 0)
    assert paused["checkpoint"]["global_step"] == ODD + 1
    assert first.state == final_state(ODD + 1)
    ask(service, job, "resume")
    second = FakeTrainer()
    assert run(service, store, jobs, job, second)["status"] == "succeeded"
    assert (second.started_at, second.state) == ([ODD + 1], final_state(STEPS))
