"""A long job moves from worker to worker, each stopped by another kind of notice: no step is lost or trained twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.metadata import Aws, Azure, Cloud, Gce, serving
from tests.support.service import ServiceProcess
from tests.support.worker import WorkerProcess, Workers
from tests.support.worker import workers as make_workers

STAGES = [{"image_size": 8, "batch_size": 8, "epochs": 1, "steps_per_epoch": 1_000_000}]
# A checkpoint is only saved on notice.
LONG = tiny(stages=STAGES, checkpoint={"every": "100000000 steps"})
STEPS_A_LEG = 5
# Enough for the start, some training and the margin, on a busy machine.
SESSION_SECONDS = 40


@dataclass(frozen=True)
class Kind:
    """A kind of notice: how the test gives it, and what the job's log says about it."""

    name: str
    give: Callable[[Any, WorkerProcess], None]
    cloud: Callable[[], Cloud] = Cloud
    source: str = "signal"
    cause: str = ""
    seconds: tuple[float, float] = (25.0, 25.0)
    # The machine shuts down after the notice: its init system sends SIGTERM to all processes.
    shuts_down: bool = False


KINDS = [
    Kind("SIGTERM", lambda _, worker: worker.terminate(), cause="SIGTERM"),
    Kind("SIGINT", lambda _, worker: os.killpg(worker.pid, signal.SIGINT), cause="SIGINT"),
    Kind(
        "gce-preempted",
        lambda cloud, _: cloud.give_notice(30.0),
        Gce,
        "gce",
        "preempted",
        (30.0, 30.0),
        shuts_down=True,
    ),
    Kind(
        "gce-maintenance",
        lambda cloud, _: cloud.set("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE"),
        Gce,
        "gce",
        "TERMINATE_ON_HOST_MAINTENANCE",
        (60.0, 60.0),
    ),
    Kind(
        "aws", lambda cloud, _: cloud.give_notice(120.0), Aws, "aws", "spot instance-action terminate", (100.0, 120.0)
    ),
    Kind("azure", lambda cloud, _: cloud.give_notice(40.0), Azure, "azure", "Preempt", (25.0, 40.0)),
]


@dataclass(frozen=True)
class Session:
    """A worker with a deadline, and the job that it trains."""

    job: str
    worker: WorkerProcess
    deadline: datetime


@pytest.fixture(scope="module")
def long_job(service: ServiceProcess, session: Session) -> Iterator[str]:
    with service.client() as http:
        job = Jobs(http).submit(LONG)
        yield job
        assert http.post(f"/v1/jobs/{job}/cancel").status_code == 202


@pytest.fixture(scope="module")
def session(service: ServiceProcess, cache: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A worker whose session ends while other workers train `long_job`. It trains its own job."""
    with service.client() as http, make_workers(service, tmp_path_factory.mktemp("session")) as made:
        jobs, given = Jobs(http), {"BATON_GRACE": "2", "BATON_CACHE": cache}
        job = jobs.submit({**LONG, "queue": "session"})
        worker = made.start("--queue", "session", "--deadline", f"{SESSION_SECONDS}s", **given)
        deadline = datetime.now(UTC) + timedelta(seconds=SESSION_SECONDS)
        # If two workers imported TensorFlow at the same time, too little of the session would be left.
        await_steps(jobs, job)
        yield Session(job, worker, deadline)
        assert http.post(f"/v1/jobs/{job}/cancel").status_code == 202


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One cache for all workers, so that the data set is decoded once."""
    return str(tmp_path_factory.mktemp("cache"))


def last_attempt(jobs: Jobs, job: str) -> dict[str, Any]:
    return jobs.items(job, "attempts")[-1]


def await_steps(jobs: Jobs, job: str) -> dict[str, Any]:
    """Wait until the worker has trained some steps, and return its attempt."""

    def trained() -> bool:
        view, attempt = jobs.show(job), last_attempt(jobs, job)
        step = (view["progress"] or {}).get("global_step", 0)
        return attempt["state"] == "running" and step >= (attempt["start_step"] or 0) + STEPS_A_LEG

    until(trained, 120, "some steps")
    return last_attempt(jobs, job)


def notices(jobs: Jobs, job: str, attempt: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        event
        for event in jobs.items(job, "events")
        if event["kind"] == "notice" and event["data"]["attempt"] == attempt["attempt"]
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_notice_costs_no_step(jobs: Jobs, workers: Workers, long_job: str, cache: str, kind: Kind) -> None:
    before = jobs.show(long_job)["checkpoint"]
    with serving(kind.cloud()) as cloud:
        choice = {} if kind.source == "signal" else {"BATON_NOTICES": kind.source, **cloud.environment}
        worker = workers.start(BATON_CACHE=cache, **choice)
        attempt = await_steps(jobs, long_job)
        kind.give(cloud, worker)
        if kind.shuts_down:
            # Wait until the training process has received the notice. Otherwise the signal could be the first cause,
            # which is kept.
            until(lambda: bool(notices(jobs, long_job, attempt)), 60, "the notice to arrive")
            os.killpg(worker.pid, signal.SIGTERM)
        assert worker.process is not None
        assert worker.process.wait(60) == 0
    # It resumed from the checkpoint of the worker before, and committed its own.
    assert attempt["start_step"] == (before["global_step"] if before else 0)
    ended = next(a for a in jobs.items(long_job, "attempts") if a["id"] == attempt["id"])
    assert (ended["state"], ended["reason"]) == ("preempted", "preempted")
    assert kind.cause in ended["message"]
    committed = jobs.show(long_job)["checkpoint"]["global_step"]
    assert committed == ended["end_step"] >= attempt["start_step"] + STEPS_A_LEG
    assert_told(jobs, long_job, ended, kind)


def assert_told(jobs: Jobs, job: str, attempt: dict[str, Any], kind: Kind) -> None:
    (notice,) = notices(jobs, job, attempt)
    least, most = kind.seconds
    assert (notice["data"]["source"], notice["data"]["cause"]) == (kind.source, kind.cause)
    assert least <= notice["data"]["seconds"] <= most
    (ended,) = [
        event
        for event in jobs.items(job, "events")
        if event["kind"] == "attempt_preempted" and event["data"]["attempt"] == attempt["attempt"]
    ]
    assert notice["sequence"] < ended["sequence"]


def test_the_end_of_a_session_costs_no_step_either(jobs: Jobs, workers: Workers, session: Session, cache: str) -> None:
    """The real trainer stops before the deadline, and another worker continues at that exact step."""
    job = session.job
    assert session.worker.process is not None
    assert session.worker.process.wait(SESSION_SECONDS + 10) == 0
    committed = jobs.show(job)["checkpoint"]["global_step"]
    second = workers.start("--queue", "session", BATON_CACHE=cache)
    following = await_steps(jobs, job)
    second.terminate()
    ended = jobs.items(job, "attempts")[0]
    assert (ended["attempt"], ended["state"], ended["reason"]) == (1, "preempted", "preempted")
    assert datetime.fromisoformat(ended["finished_at"]) < session.deadline
    assert ended["message"] == f"deadline: the worker's session of {SESSION_SECONDS}s ends"
    assert ended["end_step"] == following["start_step"] == committed
    (notice,) = notices(jobs, job, ended)
    assert (notice["data"]["source"], notice["data"]["certain"]) == ("deadline", True)
