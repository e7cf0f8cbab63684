"""A training process that makes no progress is killed, its stacks are in the log, and the job resumes elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.client.client import Client
from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.hangs import PIDS
from tests.support.jobs import Jobs
from tests.support.process_state import gone
from tests.support.service import TOKEN, ServiceProcess, running_service
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

STALL = 6
"""In seconds. The lease is longer, because native code that holds the interpreter's lock sends no heartbeats."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("service"), redis_url, BATON_HEARTBEAT_SECONDS="0.5") as process:
        yield process


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


def hanging(how: str, stall: float = STALL, **changes: Any) -> dict[str, Any]:
    return fast(epochs=1, every=2, limits={"stall": stall}, fake={"hang": how}, **changes)


def hung(pids: Path) -> list[int]:
    """Wait until the training process hangs, and return the ids of its processes."""
    until(pids.exists, 60, "the training process to hang")
    return [int(pid) for pid in pids.read_text().split()]


def first(jobs: Jobs, job: str) -> dict[str, Any]:
    return next(one for one in jobs.items(job, "attempts") if one["attempt"] == 1)


@pytest.mark.parametrize(
    ("how", "frame", "doing"),
    [
        ("sleep", "hangs.py", "training at step 3"),
        ("native", "hangs.py", "training at step 3"),
        ("pipe", "connection.py", "waiting for a batch of augmentation process"),
        ("loading", "background.py", "loading"),
    ],
)
def test_a_stall_ends_the_attempt_and_another_worker_goes_on(
    jobs: Jobs, workers: Workers, service: ServiceProcess, pids: Path, how: str, frame: str, doing: str
) -> None:
    workers.start("--poll", **{PIDS: str(pids)})
    job = jobs.submit(hanging(how))
    processes = hung(pids)
    until(lambda: first(jobs, job)["state"] == "failed", 60, "the attempt to end")
    attempt = first(jobs, job)
    assert attempt["reason"] == "stalled"
    assert f"while {doing}" in attempt["message"]
    assert "the stacks of all threads are in the attempt's log" in attempt["message"]
    until(lambda: all(gone(pid) for pid in processes), 60, "all processes to be gone")
    (event,) = [one for one in jobs.items(job, "events") if one["kind"] == "stalled"]
    assert event["data"]["limit"] >= STALL
    assert doing in event["data"]["doing"]
    with Client(service.url, TOKEN) as client:
        log = "".join(client.log_stream(job, 1))
    assert "--- stalled: the stacks of process" in log
    assert "most recent call first" in log
    assert frame in log
    assert f"process {processes[-1]} thread {processes[-1]}: " in log  # the kernel's view of the thread
    workers.start("--poll", **{PIDS: str(pids)})
    assert jobs.await_end(job)["status"] == "succeeded"
    assert [one["worker"] for one in jobs.items(job, "attempts") if one["attempt"] == 2] == ["worker-2"]


@pytest.mark.parametrize("how", ["sleep", "pipe", "loading"])
def test_a_cancellation_does_not_wait_for_what_hangs(jobs: Jobs, workers: Workers, pids: Path, how: str) -> None:
    worker = workers.start("--poll", **{PIDS: str(pids)})
    job = jobs.submit(hanging(how, stall=900))
    processes = hung(pids)
    jobs.ask(job, "cancel")
    view = jobs.await_end(job)
    assert view["status"] == "cancelled"
    until(lambda: all(gone(pid) for pid in processes), 60, "all processes to be gone")
    assert "did not carry out" not in view["message"]  # the worker cancelled the job, so the service did not have to
    assert worker.process is not None
    assert worker.process.poll() is None


def test_a_notice_hands_over_what_loads_from_a_mount_that_hangs(jobs: Jobs, workers: Workers, pids: Path) -> None:
    worker = workers.start("--poll", **{PIDS: str(pids)})
    job = jobs.submit(hanging("loading", stall=900))
    processes = hung(pids)
    worker.terminate()
    until(lambda: first(jobs, job)["state"] == "preempted", 60, "the hand-over")
    until(lambda: all(gone(pid) for pid in processes), 60, "all processes to be gone")
    assert "could not be saved" not in (first(jobs, job)["message"] or "")


def test_max_runtime_saves_and_pauses_the_job(jobs: Jobs, workers: Workers) -> None:
    workers.start("--poll")
    job = jobs.submit(fast(epochs=1, steps=100_000, every=50_000, limits={"max_runtime": 3}))
    view = jobs.await_job(job, lambda view: view["status"] == "paused")
    assert view["reason"] == "max_runtime"
    assert view["message"] == "workers held the job for 3 s, which is its limit (limits.max_runtime)"
    assert view["checkpoint"] is not None
