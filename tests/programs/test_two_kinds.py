"""A worker with `--programs` runs programs and trains classifiers. One without it never runs a program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.program_jobs import program
from tests.support.programs.chain import final_state
from tests.support.service import ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

PARAMS = {"steps": 12, "epoch_steps": 0}


@pytest.fixture
def both(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    """Workers that train in milliseconds, in processes that are started as a real worker starts them."""
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


def test_the_warm_process_gives_a_program_to_a_process_of_its_own(jobs: Jobs, both: Workers) -> None:
    worker = both.start("--programs", "--queue", "both", BATON_FAKE_EXEC="1")
    for _ in range(2):
        job = jobs.submit(program("chain.py", queue="both", params=PARAMS))
        assert jobs.await_end(job)["status"] == "succeeded"
        assert jobs.download(job, "final.txt").decode() == final_state(12).hex()
        (attempt,) = jobs.items(job, "attempts")
        assert (attempt["fence"], attempt["worker"]) == (1, worker.name)
        classifier = jobs.submit(fast(queue="both"))
        assert jobs.await_end(classifier)["status"] == "succeeded"


def test_a_worker_without_the_option_runs_no_program(jobs: Jobs, both: Workers) -> None:
    both.start("--queue", "none")
    job = jobs.submit(program("chain.py", queue="none", params=PARAMS))
    classifier = jobs.submit(fast(queue="none"))
    assert jobs.await_end(classifier)["status"] == "succeeded"
    assert jobs.show(job)["status"] == "queued"
    assert "program/any" not in jobs.workers()[0].get("extensions", [])


def test_a_worker_without_tensorflow_gets_no_classifier(jobs: Jobs, workers: Workers) -> None:
    workers.start("--programs", "--queue", "light")
    classifier = jobs.submit(fast(queue="light"))
    job = jobs.submit(program("chain.py", queue="light", params=PARAMS))
    assert jobs.await_end(job)["status"] == "succeeded"
    jobs.await_job(classifier, lambda view: "with TensorFlow" in (view["waiting_for"] or ""))
    assert [one["state"] for one in jobs.items(classifier, "attempts")] == ["queued"]
