"""Programs that misbehave: each attempt ends with the right reason, nothing is left running, the next attempt works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.client.client import Client
from tests.support.gcs import until
from tests.support.jobs import Jobs
from tests.support.memory_group import memory_group
from tests.support.program_jobs import program
from tests.support.service import TOKEN, ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

STALL = 3
MEMORY = 400 << 20
"""Bytes for a worker with one program: without the program they take about 200 MB."""


@pytest.fixture(scope="module")
def worker(service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A worker for all tests of this module that need no worker of their own."""
    with make_workers(service, tmp_path_factory.mktemp("worker"), "tests.support.light_worker") as made:
        made.start("--programs", "--queue", "shared")
        yield


def misbehaving(how: str, marker: Path, **changes: Any) -> dict[str, Any]:
    job = program("misbehaving.py", how, name=how, **{"retry": {"backoff": "1s"}, **changes})
    job["program"]["environment"] = {"MARKER": str(marker), "PYTHONPATH": str(Path(__file__).parents[2])}
    return job


def running(marker: Path) -> list[int]:
    """The processes whose environment names this marker."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"MARKER={marker}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def attempts(jobs: Jobs, job: str) -> list[dict[str, Any]]:
    return sorted(jobs.items(job, "attempts"), key=lambda one: int(one["attempt"]))


@pytest.mark.parametrize(
    ("how", "reason", "text"),
    [
        ("fails-at-import", "exception", "ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("fills-the-disk", "disk_full", "No space left on device"),
        ("runs-out-of-memory", "out_of_memory", "MemoryError"),
        ("is-killed", "process_died", "signal SIGKILL"),
        ("leaves-children", None, ""),
        ("prints", None, ""),
    ],
)
def test_the_attempt_ends_with_its_reason_and_the_next_one_works(
    jobs: Jobs, worker: None, service: ServiceProcess, tmp_path: Path, how: str, reason: str | None, text: str
) -> None:
    marker = tmp_path / "begun"
    job = jobs.submit(misbehaving(how, marker, queue="shared"))
    assert jobs.await_end(job)["status"] == "succeeded"
    first, *later = attempts(jobs, job)
    assert first["reason"] == reason
    assert text in (first["message"] or "")
    assert len(later) == (reason is not None)
    assert running(marker) == []
    kinds = [one["kind"] for one in jobs.items(job, "events")]
    assert ("processes_killed" in kinds) == (how == "leaves-children")
    if how == "prints":
        with Client(service.url, TOKEN) as client:
            log = "".join(client.log_stream(job, 1))
        assert len(log) < 34 << 20
        assert "the last line" in log


def test_a_program_that_hangs_has_stalled(jobs: Jobs, workers: Workers, tmp_path: Path) -> None:
    workers.start("--programs")
    marker = tmp_path / "begun"
    job = jobs.submit(misbehaving("hangs", marker, limits={"stall": STALL}))
    until(lambda: attempts(jobs, job)[0]["state"] == "failed", 60, "the attempt to end")
    first = attempts(jobs, job)[0]
    assert first["reason"] == "stalled"
    assert "while training at step 7" in first["message"]
    until(lambda: running(marker) == [], 60, "all processes to be gone")
    workers.start("--programs")  # the worker on which it stalled does not get the job again for some time
    assert jobs.await_end(job)["status"] == "succeeded"
    assert attempts(jobs, job)[1]["start_step"] == 5


def test_a_program_that_the_kernel_kills_for_memory(jobs: Jobs, service: ServiceProcess, tmp_path: Path) -> None:
    """The worker is in a control group with little memory. The kernel must kill the program and not the worker.

    Where this user can make no group, the program kills itself, and a file stands for the kernel's counter.
    """
    marker = tmp_path / "begun"
    with (
        memory_group(MEMORY, tmp_path) as group,
        make_workers(service, tmp_path, "tests.support.limited_worker") as made,
    ):
        worker = made.start("--programs", "--queue", "little", **group.environment)
        body = misbehaving("fills-the-memory", marker, queue="little")
        body["program"]["environment"] |= group.environment
        job = jobs.submit(body)
        assert jobs.await_end(job)["status"] == "succeeded"
        assert worker.process is not None
        assert worker.process.poll() is None
        first, second = attempts(jobs, job)
        assert first["reason"] == "out_of_memory"
        assert first["message"].startswith("the kernel killed a process of the program because memory ran out")
        assert "signal SIGKILL" in first["message"]
        assert (second["start_step"], second["reason"]) == (5, None)
        assert running(marker) == []


def test_a_broken_state_is_set_aside(jobs: Jobs, worker: None, tmp_path: Path) -> None:
    job = jobs.submit(misbehaving("saves-a-broken-state", tmp_path / "begun", queue="shared"))
    assert jobs.await_end(job)["status"] == "succeeded"
    ended = attempts(jobs, job)
    assert [one["reason"] for one in ended] == ["exception", "restore_failed", "restore_failed", None]
    assert [one["start_step"] for one in ended] == [0, 10, 5, 5]  # the third attempt set it aside
    assert "ValueError: the state has 3 bytes" in ended[1]["message"]


def test_exit_0_after_a_stop_is_not_the_end_of_the_job(jobs: Jobs, worker: None, tmp_path: Path) -> None:
    job = jobs.submit(misbehaving("exits-0-when-stopped", tmp_path / "begun", queue="shared"))
    jobs.await_job(job, lambda view: (view["progress"] or {}).get("global_step", 0) > 7)
    jobs.ask(job, "pause")
    jobs.await_job(job, lambda view: view["status"] == "paused")
    paused = attempts(jobs, job)[0]
    assert paused["state"] == "paused"
    assert "could not be saved" not in (paused["message"] or "")
    jobs.ask(job, "resume")
    assert jobs.await_end(job)["status"] == "succeeded"
    assert attempts(jobs, job)[1]["start_step"] > 7


def test_a_program_that_ignores_all_signals_is_killed_within_the_grace(
    jobs: Jobs, workers: Workers, tmp_path: Path
) -> None:
    worker, marker = workers.start("--programs", BATON_GRACE="8"), tmp_path / "begun"
    job = jobs.submit(misbehaving("ignores-signals", marker))
    jobs.await_job(job, lambda view: view["checkpoint"] is not None)
    worker.terminate()
    assert worker.process is not None
    assert worker.process.wait(60) == 0
    assert running(marker) == []
    assert attempts(jobs, job)[0]["state"] == "preempted"
    workers.start("--programs")
    assert jobs.await_end(job)["status"] == "succeeded"
    assert attempts(jobs, job)[1]["start_step"] == 5


def test_a_cancelled_program_ends_at_once(jobs: Jobs, worker: None, tmp_path: Path) -> None:
    marker = tmp_path / "begun"
    job = jobs.submit(misbehaving("ignores-signals", marker, queue="shared"))
    jobs.await_job(job, lambda view: view["checkpoint"] is not None)
    jobs.ask(job, "cancel")
    assert jobs.await_end(job)["status"] == "cancelled"
    until(lambda: running(marker) == [], 60, "all processes to be gone")
