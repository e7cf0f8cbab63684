"""Notices and deadlines with real workers and the fake trainer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.support.fake_trainer import ARTIFACT, final_state
from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.jobs import TERMINAL, Jobs
from tests.support.metadata import Aws, Gce, serving
from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import WorkerProcess, Workers
from tests.support.worker import workers as make_workers

NEVER = 10**8
EPOCHS, STEPS, STEP_SECONDS = 6, 1400, 0.005
SESSION_SECONDS, GRACE_SECONDS = 25.0, 5.0
"""A session is long enough for a slow start, and the margin for a slow handover.

The job takes more than two sessions.
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("notices")
    with running_redis() as redis, running_service(folder, redis.url, BATON_HEARTBEAT_SECONDS="0.5") as process:
        yield process


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


def over(jobs: Jobs, job: str, worker: WorkerProcess) -> bool:
    """Whether the job or the worker's session has ended."""
    assert worker.process is not None
    return jobs.show(job)["status"] in TERMINAL or worker.process.poll() is not None


def ended(worker: WorkerProcess) -> int:
    """The exit status."""
    assert worker.process is not None
    return int(worker.process.wait(60))


def test_a_job_of_many_sessions_is_handed_over_before_each_ends(jobs: Jobs, workers: Workers) -> None:
    job = jobs.submit(fast(epochs=EPOCHS, steps=STEPS, every=NEVER, fake={"step-seconds": STEP_SECONDS}))
    deadlines: list[datetime] = []
    for _ in range(20):
        worker = workers.start("--deadline", f"{SESSION_SECONDS:g}s", BATON_GRACE=f"{GRACE_SECONDS:g}")
        deadlines.append(datetime.now(UTC) + timedelta(seconds=SESSION_SECONDS))
        until(partial(over, jobs, job, worker), 60, "the end of a session")
        if jobs.show(job)["status"] in TERMINAL:
            break
        assert ended(worker) == 0
    assert jobs.show(job)["status"] == "succeeded"
    attempts = jobs.items(job, "attempts")
    assert [a["state"] for a in attempts] == ["preempted"] * (len(attempts) - 1) + ["succeeded"]
    assert len(attempts) >= 3
    for attempt in attempts[:-1]:
        assert datetime.fromisoformat(attempt["finished_at"]) < deadlines[int(attempt["worker"].split("-")[1]) - 1]
    assert all(a["message"] == f"deadline: the worker's session of {SESSION_SECONDS:g}s ends" for a in attempts[:-1])
    # After a handover a worker starts no other attempt.
    assert len({a["worker"] for a in attempts}) == len(attempts)
    # No step was trained twice, and none is missing.
    assert [a["start_step"] for a in attempts] == [0, *(a["end_step"] for a in attempts[:-1])]
    assert jobs.download(job, ARTIFACT).decode() == final_state(EPOCHS * STEPS).hex()


def test_a_session_too_short_for_any_attempt_takes_none(jobs: Jobs, workers: Workers) -> None:
    job = jobs.submit(fast(queue="short"))
    worker = workers.start("--queue", "short", "--deadline", "20s", BATON_GRACE="15")
    assert ended(worker) == 0
    assert "an attempt needs" in worker.log.read_text()
    assert [a["state"] for a in jobs.items(job, "attempts")] == ["queued"]


def test_after_its_last_attempt_a_worker_ends_with_its_session(jobs: Jobs, workers: Workers) -> None:
    """The worker waits for work as long as an attempt would be worth starting, and no longer."""
    worker = workers.start("--queue", "idle", "--deadline", "40s", BATON_GRACE="4")
    job = jobs.submit(fast(queue="idle", epochs=1, steps=5))
    assert jobs.await_end(job)["status"] == "succeeded"
    assert ended(worker) == 0
    assert "the session (--deadline 40s) has" in worker.log.read_text()


def test_a_deadline_that_is_none(workers: Workers) -> None:
    worker = workers.start(BATON_DEADLINE="soon")
    assert ended(worker) == 2
    assert "baton worker: --deadline (BATON_DEADLINE): must be" in worker.log.read_text()


def test_a_rebalance_saves_at_once_and_trains_on_until_the_end_is_certain(jobs: Jobs, workers: Workers) -> None:
    job = jobs.submit(fast(epochs=1, steps=100_000, every=NEVER, queue="rebalance"))
    with serving(Aws()) as cloud:
        assert isinstance(cloud, Aws)
        worker = workers.start("--queue", "rebalance", BATON_NOTICES="aws", **cloud.environment)
        jobs.await_step(job, 10)
        cloud.recommend()
        saved = jobs.await_job(job, lambda view: bool(view["checkpoint"]))["checkpoint"]["global_step"]
        jobs.await_step(job, saved + 10)
        assert [a["state"] for a in jobs.items(job, "attempts")] == ["running"]
        cloud.give_notice(120.0)
        assert ended(worker) == 0
    (first, _) = jobs.items(job, "attempts")
    assert (first["state"], first["end_step"]) == ("preempted", jobs.show(job)["checkpoint"]["global_step"])
    assert first["end_step"] >= saved + 10
    told = [event["data"]["certain"] for event in jobs.items(job, "events") if event["kind"] == "notice"]
    assert told == [False, True]


def test_at_risk_a_worker_finishes_what_it_has_and_takes_nothing_more(jobs: Jobs, workers: Workers) -> None:
    job = jobs.submit(fast(epochs=1, steps=2000, queue="risk"))
    with serving(Aws()) as cloud:
        assert isinstance(cloud, Aws)
        worker = workers.start("--queue", "risk", BATON_NOTICES="aws", **cloud.environment)
        jobs.await_step(job, 10)
        cloud.recommend()
        second = jobs.submit(fast(queue="risk"))
        assert jobs.await_end(job)["status"] == "succeeded"
        assert ended(worker) == 0
    assert [a["state"] for a in jobs.items(second, "attempts")] == ["queued"]


@pytest.mark.parametrize("road", [(), ("--poll",)], ids=["redis", "poll"])
def test_a_worker_that_waits_for_work_ends_at_once(workers: Workers, road: tuple[str, ...]) -> None:
    with serving(Gce()) as cloud:
        worker = workers.start("--queue", "nothing", *road, BATON_NOTICES="gce", **cloud.environment)
        until(lambda: "warm: waiting" in worker.log.read_text(), 60, "a warm worker")
        cloud.give_notice(30.0)
        assert ended(worker) == 0


def test_a_training_process_that_does_not_hand_over_in_time_is_ended_as_preempted(jobs: Jobs, workers: Workers) -> None:
    job = jobs.submit(fast(epochs=1, steps=10_000, every=1, queue="stuck", fake={"step-seconds": 0.1}))
    worker = workers.start("--queue", "stuck", BATON_GRACE="1")
    jobs.await_job(job, lambda view: bool(view["checkpoint"]))
    (child,) = worker.children()
    jobs.await_job(job, lambda view: view["status"] == "running")
    os.kill(child, signal.SIGSTOP)
    worker.terminate()
    assert ended(worker) == 0
    first = jobs.items(job, "attempts")[0]
    assert (first["state"], first["reason"]) == ("preempted", "preempted")
    assert first["message"] == "SIGTERM; the last state could not be saved in time"
    assert jobs.show(job)["failures"] == 0
