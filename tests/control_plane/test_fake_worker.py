"""A real worker with the fake trainer follows the variables and labels that control it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_trainer import ARTIFACT, final_state
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.redis import running_redis
from tests.support.service import running_service
from tests.support.worker import workers

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """The jobs of a service with one fake worker."""
    folder: Path = tmp_path_factory.mktemp("fake")
    with (
        running_redis() as redis,
        running_service(folder, redis.url) as service,
        workers(service, folder, "tests.support.fake_worker") as made,
        service.client() as http,
    ):
        made.start()
        yield Jobs(http)


def test_a_job_ends_with_the_state_of_all_its_steps(jobs: Jobs) -> None:
    job = jobs.submit(fast(epochs=3, steps=20))
    view = jobs.await_end(job)
    assert (view["status"], view["attempts"]) == ("succeeded", 1)
    assert [row["global_step"] for row in jobs.items(job, "history")] == [20, 40, 60]
    assert jobs.download(job, ARTIFACT).decode() == final_state(60).hex()


@pytest.mark.parametrize(
    ("how", "reason"),
    [("exception", "exception"), ("memory", "out_of_memory"), ("killed", "process_died"), ("exited", "process_died")],
)
def test_an_attempt_fails_as_planned_and_the_next_one_succeeds(jobs: Jobs, how: str, reason: str) -> None:
    job = jobs.submit(fast(fake={"fail-at": 33, "fail-attempts": 1, "fail-how": how}))
    assert jobs.await_end(job)["status"] == "succeeded"
    assert [(a["state"], a["reason"]) for a in jobs.items(job, "attempts")] == [("failed", reason), ("succeeded", None)]
    assert jobs.download(job, ARTIFACT).decode() == final_state(60).hex()


def test_bad_data_ends_the_job(jobs: Jobs) -> None:
    view = jobs.await_end(jobs.submit(fast(fake={"fail-at": 7, "fail-how": "bad-data"})))
    assert (view["status"], view["reason"], view["attempts"]) == ("failed", "bad_data", 1)
