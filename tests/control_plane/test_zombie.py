"""A worker is suspended beyond its lease and resumes while another one trains.

It can change nothing. All processes are real.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from baton.domain.manifest import checkpoint_parts, job_prefix
from baton.storage import BlobStore, open_store
from service.db.engine import Database, open_engine
from service.db.tables import Job
from service.db.types import db_now
from tests.control_plane.checker import check
from tests.control_plane.record import Record, load
from tests.support.calls import Calls
from tests.support.fake_trainer import ARTIFACT, final_state
from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.jobs import Jobs
from tests.support.postgres import PostgresServer
from tests.support.proxy import running_proxy
from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import WorkerProcess, Workers, workers
from worker.checkpointing.checkpoint_files import read_checkpoint

pytestmark = pytest.mark.process

SETTINGS = {
    "BATON_LEASE_SECONDS": "6",
    "BATON_HEARTBEAT_SECONDS": "0.5",
    "BATON_CONDUCTOR_SECONDS": "0.2",
    "BATON_SWEEP_SECONDS": "1",
}
EPOCHS, STEPS = 4, 40
TOTAL = EPOCHS * STEPS
WRITES = ("heartbeat", "checkpoints", "epochs", "artifacts", "finish")
PATIENCE = 120.0


@dataclass
class Stage:
    """The service and the workers of a test. `calls`: those of the suspended worker only."""

    service: ServiceProcess
    database: Database
    store: BlobStore
    jobs: Jobs
    made: Workers
    calls: Calls
    zombies_url: str
    go: Path

    def zombie(self, **settings: str) -> WorkerProcess:
        """A worker that the test will suspend. It is faster than others, and waits in its second epoch."""
        return self.made.start(
            BATON_URL=self.zombies_url,
            BATON_FAKE_STEP_SECONDS="0.01",
            BATON_FAKE_HOLD_AT=str(STEPS + 10),
            BATON_FAKE_HOLD_UNTIL=str(self.go),
            **settings,
        )

    def record(self, job: str) -> Record:
        with self.database.read() as session:
            return load(session, job)

    def stray(self, job: str) -> set[str]:
        """Checkpoints in the store that no row names."""
        known = {row.prefix for row in self.record(job).checkpoints}
        there = {blob.name.rpartition("/")[0] for blob in self.store.list(f"{job_prefix(job)}/checkpoints/")}
        return there - known

    def let_sweep(self, job: str) -> None:
        """Make the job's next sweep due now, which would otherwise take minutes."""
        with self.database.write() as session:
            session.execute(update(Job).where(Job.id == job).values(sweep_at=db_now()))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("zombie")
    url = f"sqlite:///{folder}/baton.db"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url(server.create())
    calls = Calls()
    with (
        running_redis() as redis,
        running_service(folder, redis.url, **SETTINGS, BATON_DATABASE_URL=url) as service,
        running_proxy(("127.0.0.1", service.port), tap=calls) as proxy,
        workers(service, folder, "tests.support.fake_worker") as made,
        service.client() as http,
    ):
        database, store = Database(open_engine(url)), open_store(service.store_url)
        yield Stage(service, database, store, Jobs(http), made, calls, f"http://{proxy.address}", folder / "go")
        database.close()


@pytest.fixture
def stage(lit: Stage) -> Iterator[Stage]:
    """The stage without workers."""
    yield lit
    for worker in lit.made.all:
        worker.kill_group()
    lit.go.unlink(missing_ok=True)


def frozen_and_woken(stage: Stage, job: str, zombie: WorkerProcess) -> str:
    """The id of the first attempt. Its worker was suspended until another worker had trained the job for a while."""
    stage.jobs.await_step(job, STEPS + 5)
    os.killpg(zombie.pid, signal.SIGSTOP)
    stage.go.touch()
    first = stage.jobs.items(job, "attempts")[0]
    successor = stage.made.start(BATON_FAKE_STEP_SECONDS="0.06")
    stage.jobs.await_job(job, lambda view: (view["status"], view["worker"]) == ("running", successor.name))
    # The first worker resumes after the service has accepted a checkpoint of the second one.
    until(
        lambda: any(row.fence == 2 for row in stage.record(job).checkpoints), PATIENCE, "a checkpoint of the successor"
    )
    os.killpg(zombie.pid, signal.SIGCONT)
    return str(first["id"])


def test_whatever_a_zombie_writes_is_refused_and_swept_away(stage: Stage) -> None:
    job = stage.jobs.submit(fast(epochs=EPOCHS, steps=STEPS, every=4))
    attempt = frozen_and_woken(stage, job, stage.zombie(BATON_FAKE_STUBBORN="1"))
    until(lambda: set(WRITES) <= set(stage.calls.refused(attempt)), PATIENCE, "all kinds of writes are refused")
    assert stage.jobs.show(job)["status"] == "running", (
        "the first worker must resume and stop while the second one trains"
    )
    assert _refused_to_the_end(stage.calls, attempt)
    _assert_the_successors_result(stage, job)
    assert stage.stray(job), "a worker that keeps writing leaves objects in the store"
    assert {checkpoint_parts(prefix)[2] for prefix in stage.stray(job)} == {1}  # type: ignore[index]
    until(lambda: _swept(stage, job), PATIENCE, "the zombie's objects are collected")
    _assert_readable(stage, job)


def test_a_zombie_that_is_told_stops_and_its_worker_goes_on_with_other_jobs(stage: Stage) -> None:
    job = stage.jobs.submit(fast(epochs=EPOCHS, steps=STEPS, every=4))
    zombie = stage.zombie()
    attempt = frozen_and_woken(stage, job, zombie)
    until(lambda: bool(stage.calls.refused(attempt)), PATIENCE, "the zombie gets a refusal")
    other = stage.jobs.submit(fast(epochs=1, steps=5))
    assert stage.jobs.await_end(other)["status"] == "succeeded"
    assert stage.jobs.items(other, "attempts")[0]["worker"] == zombie.name
    assert _refused_to_the_end(stage.calls, attempt)
    assert sum(stage.calls.refused(attempt).values()) <= 3, "after a refusal the worker must stop calling"
    _assert_the_successors_result(stage, job)


def _refused_to_the_end(calls: Calls, attempt: str) -> bool:
    """Whether all calls after the first refusal were refused too."""
    statuses = [status for _, status in calls.statuses(attempt)]
    return set(statuses[statuses.index(409) :]) == {409}


def _swept(stage: Stage, job: str) -> bool:
    stage.let_sweep(job)
    return not stage.stray(job)


def _assert_the_successors_result(stage: Stage, job: str) -> None:
    view = stage.jobs.await_end(job)
    assert (view["status"], view["reason"], view["preemptions"]) == ("succeeded", None, 1)
    record = stage.record(job)
    assert check(record) == []
    assert [(row.state, row.fence) for row in record.attempts] == [("lost", 1), ("succeeded", 2)]
    taken_over = next(event.sequence for event in record.events if event.data.get("fence") == 2)
    late = [event for event in record.events if event.sequence > taken_over and event.data.get("fence") == 1]
    assert late == []
    assert [row.fence for row in record.epochs[1:]] == [2, 2, 2]
    assert [(row.name, row.fence) for row in record.artifacts] == [(ARTIFACT, 2)]
    until(lambda: _published(stage, job) == final_state(TOTAL).hex(), PATIENCE, "the successor's file is published")
    _assert_readable(stage, job)


def _published(stage: Stage, job: str) -> str:
    try:
        return stage.jobs.download(job, ARTIFACT).decode()
    except (AssertionError, httpx.HTTPError):
        return ""


def _assert_readable(stage: Stage, job: str) -> None:
    kept = [row for row in stage.record(job).checkpoints if row.state == "committed"]
    assert kept[-1].global_step == TOTAL
    for row in kept:
        snapshot, _ = read_checkpoint(stage.store, row.prefix, row.manifest_crc32c)
        assert snapshot.arrays["state"].tobytes() == final_state(row.global_step)
