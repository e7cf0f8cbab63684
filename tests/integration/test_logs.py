"""Logs of real workers: readable while they run, and complete after every kind of end, whatever the store does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.client.client import Client
from tests.contract.flaky_proxy import FlakyProxy, flaky_proxy
from tests.integration.conftest import LEASE
from tests.support.gcs import GcsEmulator, gcs_emulator, until
from tests.support.jobs import Jobs, tiny
from tests.support.service import TOKEN, ServiceProcess, running_service
from tests.support.talking_process import MUCH
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

TALKING = "tests.support.talking_worker"
STEPS = 20


def spec(**labels: str) -> dict[str, object]:
    stages = [{"image_size": 8, "batch_size": 1, "epochs": 2, "steps_per_epoch": STEPS // 2}]
    return tiny(stages=stages, checkpoint={"every": "4 steps"}, labels={f"talk/{k}": v for k, v in labels.items()})


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, TALKING) as made:
        yield made


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[Client]:
    with Client(service.url, TOKEN) as made:
        yield made


def text_of(client: Client, job: str, attempt: int = 1) -> str:
    """The whole log of an attempt, when it is complete."""
    return "".join(client.log_stream(job, attempt))


def expected_lines(attempt: int, first: int, last: int) -> list[str]:
    return [f"attempt {attempt} says: step {n} für alle" for n in range(first, last)]


def step_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if " says: " in line]


def test_a_log_is_read_while_it_grows(workers: Workers, jobs: Jobs, client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    worker = workers.start("--once", BATON_TALK_GATE=str(gate))
    job = jobs.submit(spec(gate="yes"))
    until(lambda: b"200 KB printed" in client.log(job, 1).data, 60, "the output before the gate")
    part = client.log(job, 1)
    assert not part.complete
    assert step_lines(part.data.decode()) == expected_lines(1, 0, STEPS // 2 + 1)
    assert client.job(job).status == "running"
    gate.touch()
    text = text_of(client, job)
    assert jobs.await_end(job)["status"] == "succeeded"
    assert step_lines(text) == expected_lines(1, 0, STEPS)
    assert text.startswith(part.data.decode())
    assert "x" * MUCH in text
    for line in ("warm: waiting for an attempt", "attempt 1 of job", "succeeded: done"):
        assert line in text
    assert worker.process is not None
    assert worker.process.wait(60) == 0
    on_stderr = worker.log.read_text()
    assert step_lines(on_stderr) == expected_lines(1, 0, STEPS)
    for secret in (text, on_stderr):
        assert TOKEN not in secret


ENDS = {
    "exception": ["RuntimeError: planned to fail", "in _end"],
    "crash": [
        "Segmentation fault",
        "in _end",
        "baton: the training process died with signal SIGSEGV",
    ],
    "killed": ["baton: the training process was killed (SIGKILL)"],
}


def test_a_log_says_how_its_process_ended(workers: Workers, jobs: Jobs, client: Client) -> None:
    workers.start()
    submitted = {end: jobs.submit(spec(end=end)) for end in ENDS}
    for end, job in submitted.items():
        assert jobs.await_end(job)["status"] == "succeeded"
        first, second = text_of(client, job), text_of(client, job, 2)
        assert step_lines(first) == expected_lines(1, 0, STEPS // 2 + 1)
        assert step_lines(second)[-1] == expected_lines(2, STEPS - 1, STEPS)[0]
        assert "attempt 1 says" not in second
        for words in ENDS[end]:
            assert words in first
        assert TOKEN not in first + second


def test_a_stopped_worker_does_not_stop_its_training(
    workers: Workers, jobs: Jobs, client: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = workers.start(BATON_TALK_GATE=str(gate))
    job = jobs.submit(spec(gate="yes"))
    until(lambda: b"200 KB printed" in client.log(job, 1).data, 60, "the output before the gate")
    os.kill(worker.pid, signal.SIGSTOP)
    gate.touch()
    # The process printed 200 KB, more than a pipe holds, and did not block.
    assert jobs.await_end(job)["status"] == "succeeded"
    os.kill(worker.pid, signal.SIGCONT)
    assert step_lines(text_of(client, job)) == expected_lines(1, 0, STEPS)


def test_what_a_lost_worker_shipped_stays(workers: Workers, jobs: Jobs, client: Client, tmp_path: Path) -> None:
    worker = workers.start(BATON_TALK_GATE=str(tmp_path / "never"))
    job = jobs.submit(spec(gate="yes"))
    until(lambda: b"200 KB printed" in client.log(job, 1).data, 60, "the output before the gate")
    worker.kill_group()
    (tmp_path / "gate").touch()
    workers.start(BATON_TALK_GATE=str(tmp_path / "gate"))
    assert jobs.await_end(job)["status"] == "succeeded"
    # The log of attempt 1 is complete: the second call does not wait for it.
    first, second = text_of(client, job), text_of(client, job, 2)
    assert step_lines(first) == expected_lines(1, 0, STEPS // 2 + 1)
    assert step_lines(second)[-1] == expected_lines(2, STEPS - 1, STEPS)[0]


@pytest.fixture(scope="module")
def emulator() -> Iterator[GcsEmulator]:
    with gcs_emulator() as running:
        yield running


@pytest.fixture
def proxy(emulator: GcsEmulator) -> Iterator[FlakyProxy]:
    with flaky_proxy(emulator.host) as running:
        yield running


def test_a_store_that_is_away_for_a_while_loses_no_line(
    emulator: GcsEmulator, proxy: FlakyProxy, redis_url: str, tmp_path: Path
) -> None:
    settings = {**LEASE, **emulator.environ, "BATON_STORE": emulator.store_url("prefix")}
    gate, refused = tmp_path / "gate", []

    def away(method: str) -> None:
        refused.append(method)
        raise ConnectionError("the store is away")

    with (
        running_service(tmp_path, redis_url, **settings) as service,
        make_workers(service, tmp_path, TALKING) as made,
        service.client() as http,
        Client(service.url, TOKEN) as client,
    ):
        made.start(BATON_TALK_GATE=str(gate), STORAGE_EMULATOR_HOST=proxy.host)
        jobs = Jobs(http)
        job = jobs.submit(spec(gate="yes"))
        until(lambda: b"attempt 1 says: step 0" in client.log(job, 1).data, 60, "the first output")
        proxy.before = away
        gate.touch()
        until(lambda: len(refused) >= 4, 60, "four failed tries")
        proxy.before = lambda _method: None
        assert jobs.await_end(job)["status"] == "succeeded"
        text = text_of(client, job)
        assert step_lines(text) == expected_lines(1, 0, STEPS)
        assert "x" * MUCH in text
