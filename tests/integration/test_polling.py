"""Workers that poll the service for work over HTTP: real processes, real signals, and no Redis on the worker's side."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.jobs import Jobs
from tests.support.service import ROOT, ServiceProcess
from tests.support.worker import WorkerProcess, Workers
from tests.support.worker import workers as make_workers

NOWHERE = "redis://127.0.0.1:1/0"
ASKING = "polling the service for work"
LONG = {"epochs": 1, "steps": 4000, "every": 1000}


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


@pytest.fixture
def without_redis(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that cannot reach Redis and cannot import its libraries."""
    for name in ("redis", "rq"):
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / f"broken/{name}.py").write_text(f"raise ImportError('{name} is not on this machine')\n")
    return {"PYTHONPATH": f"{tmp_path / 'broken'}:{ROOT}", "BATON_REDIS_URL": NOWHERE}


def ended(worker: WorkerProcess, seconds: float = 60.0) -> int:
    """The exit status."""
    assert worker.process is not None
    return worker.process.wait(seconds)


def await_log(worker: WorkerProcess, text: str) -> None:
    until(lambda: text in worker.log.read_text(), 60, f"{text!r} in the log of {worker.name}")


def states(jobs: Jobs, job: str) -> list[Any]:
    return [attempt["state"] for attempt in jobs.items(job, "attempts")]


def test_it_trains_on_a_machine_without_redis(jobs: Jobs, workers: Workers, without_redis: dict[str, str]) -> None:
    worker = workers.start("--poll", "--once", "--queue", "far", **without_redis)
    await_log(worker, ASKING)
    near, far = jobs.submit(fast()), jobs.submit(fast(queue="far"))
    view = jobs.await_end(far)
    assert (view["status"], view["attempts"]) == ("succeeded", 1), view
    assert ended(worker) == 0
    assert jobs.show(near)["status"] == "queued"
    workers.start("--poll", "--once")
    assert jobs.await_end(near)["status"] == "succeeded"


def test_killed_without_a_warning_another_resumes(jobs: Jobs, workers: Workers) -> None:
    first = workers.start("--poll")
    job = jobs.submit(fast(steps=300, every=10))
    jobs.await_job(job, lambda view: bool(view["checkpoint"]) and view["checkpoint"]["global_step"] >= 20)
    first.kill_group()
    workers.start("--poll", "--once")
    view = jobs.await_end(job)
    assert (view["status"], view["attempts"], view["failures"]) == ("succeeded", 2, 0)
    assert states(jobs, job) == ["lost", "succeeded"]
    assert jobs.items(job, "attempts")[1]["start_step"] >= 20


def test_warned_while_it_trains_it_hands_over(jobs: Jobs, workers: Workers) -> None:
    first = workers.start("--poll")
    job = jobs.submit(fast(**LONG))
    jobs.await_step(job, 50)
    first.terminate()
    assert ended(first) == 0
    before = jobs.items(job, "attempts")[0]
    assert (before["state"], before["reason"]) == ("preempted", "preempted")
    assert before["end_step"] >= 50
    workers.start("--poll", "--once", BATON_FAKE_STEP_SECONDS="0")
    assert jobs.await_end(job)["status"] == "succeeded"
    assert jobs.items(job, "attempts")[1]["start_step"] == before["end_step"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_warned_while_it_waits_it_ends_at_once(workers: Workers, number: signal.Signals) -> None:
    worker = workers.start("--poll", "--queue", "nothing")
    await_log(worker, "warm: waiting")
    assert worker.process is not None
    worker.process.send_signal(number)
    assert ended(worker, 20) == 0  # the long poll itself would last 25 s


def test_warned_while_it_warms_up_it_ends_at_once(workers: Workers) -> None:
    worker = workers.start("--poll", "--queue", "nothing", BATON_FAKE_START_SECONDS="600")
    await_log(worker, ASKING)
    worker.terminate()
    assert ended(worker) == 0


def test_a_session_that_is_too_short_takes_nothing(jobs: Jobs, workers: Workers) -> None:
    worker = workers.start("--poll", "--queue", "short", "--deadline", "5s", BATON_GRACE="25")
    job = jobs.submit(fast(queue="short"))
    assert ended(worker) == 0
    assert states(jobs, job) == ["queued"]


def test_it_outlives_the_service(jobs: Jobs, workers: Workers, service: ServiceProcess) -> None:
    worker = workers.start("--poll", "--queue", "patient")
    await_log(worker, "warm: waiting")
    service.kill()
    await_log(worker, "trying again in")
    service.start()
    job = jobs.submit(fast(queue="patient"))
    assert jobs.await_end(job)["status"] == "succeeded"


def test_warned_while_the_service_is_away_it_ends_at_once(workers: Workers) -> None:
    worker = workers.start("--poll", BATON_URL="http://127.0.0.1:1")
    await_log(worker, "worker.retry: trying again in")
    worker.terminate()
    assert ended(worker) == 0


def test_a_wrong_token_ends_it_with_a_word_and_status_4(workers: Workers) -> None:
    worker = workers.start("--poll", BATON_TOKEN="wrong")
    assert ended(worker) == 4
    log = worker.log.read_text()
    assert "answered 401" in log
    assert "Set BATON_TOKEN to a valid token of this service" in log
    assert "Traceback" not in log


def test_a_worker_that_cannot_train_takes_nothing(jobs: Jobs, workers: Workers) -> None:
    broken = workers.start("--poll", "--queue", "broken", BATON_FAKE_START_SECONDS="never")
    job = jobs.submit(fast(queue="broken"))
    await_log(broken, "does not become ready")
    assert states(jobs, job) == ["queued"]
    workers.start("--poll", "--queue", "broken")
    assert jobs.await_end(job)["status"] == "succeeded"


def test_both_roads_lead_to_each_job_once(jobs: Jobs, workers: Workers) -> None:
    both = [workers.start(), workers.start("--poll")]
    for worker in both:
        await_log(worker, "warm: waiting")
    made = [jobs.submit(fast(f"race-{n}", epochs=1, steps=5)) for n in range(20)]
    for job in made:
        assert jobs.await_end(job)["status"] == "succeeded"
    attempts = [jobs.items(job, "attempts") for job in made]
    assert [len(each) for each in attempts] == [1] * len(made)
    assert {each[0]["worker"] for each in attempts} == {worker.name for worker in both}
