"""Real workers and a service with another store, and a store whose objects disappear between two attempts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.domain.store_identity import IDENTITY
from tests.integration.conftest import LEASE
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import Workers, workers

pytestmark = pytest.mark.process

FAKE = "tests.support.fake_worker"
REFUSED = 4
SPEC = tiny(
    stages=[{"image_size": 8, "batch_size": 1, "epochs": 2, "steps_per_epoch": 20}], checkpoint={"every": "5 steps"}
)


@pytest.fixture
def alone(tmp_path: Path, redis_url: str) -> Iterator[ServiceProcess]:
    """A service for this test alone, which changes its store."""
    with running_service(tmp_path, redis_url, **LEASE) as process:
        until((tmp_path / "store" / IDENTITY).exists, 60, "the identity")
        yield process


@pytest.fixture
def fakes(alone: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with workers(alone, tmp_path, FAKE) as made:
        yield made


def test_a_worker_with_another_store_is_refused_and_one_on_another_way_to_the_same_is_not(
    alone: ServiceProcess, fakes: Workers, tmp_path: Path
) -> None:
    other = (tmp_path / "other").as_uri()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with alone.client() as http:
        jobs = Jobs(http)
        job = jobs.submit(SPEC)
        for arguments in ((), ("--poll",)):
            wrong = fakes.start(*arguments, BATON_STORE=other)
            assert wrong.process is not None
            assert wrong.process.wait(60) == REFUSED
            log_text = wrong.log.read_text()
            assert other in log_text
            assert f"BATON_STORE={alone.store_url}" in log_text
        assert jobs.show(job)["status"] == "queued"
        fakes.start(BATON_STORE=(tmp_path / "link").as_uri())
        assert jobs.await_end(job)["status"] == "succeeded"
        # The refused workers used up no attempt.
        assert len(jobs.items(job, "attempts")) == 1


def test_a_store_without_the_jobs_objects_ends_it_and_begins_nothing_again(
    alone: ServiceProcess, fakes: Workers, tmp_path: Path
) -> None:
    with alone.client() as http:
        jobs = Jobs(http)
        first = fakes.start(BATON_FAKE_HOLD_AT="12", BATON_FAKE_HOLD_UNTIL=str(tmp_path / "never"))
        job = jobs.submit(SPEC)
        jobs.await_job(job, lambda view: bool(view["checkpoint"]) and view["checkpoint"]["global_step"] == 10)
        first.kill_group()
        (tmp_path / "store").rename(tmp_path / "before")
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / IDENTITY).write_bytes((tmp_path / "before" / IDENTITY).read_bytes())
        fakes.start()
        view = jobs.await_end(job)
        assert (view["status"], view["reason"]) == ("failed", "wrong_store")
        assert alone.store_url in view["message"]
        kinds = [event["kind"] for event in jobs.items(job, "events")]
        assert "restarted" not in kinds
        assert kinds.count("claimed") == 2
        assert jobs.items(job, "history") == []
