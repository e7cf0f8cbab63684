"""A worker with JSON logs: every line is JSON, while the log of the attempt stays as it was printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.client.client import Client
from tests.support.jobs import Jobs, tiny
from tests.support.service import TOKEN, ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


def test_the_worker_speaks_json_and_the_attempt_text(workers: Workers, jobs: Jobs, service: ServiceProcess) -> None:
    worker = workers.start("--once", "--poll", BATON_LOG_FORMAT="json")
    job = jobs.submit(tiny())
    assert worker.process is not None
    assert worker.process.wait(200) == 0
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert {one["worker"] for one in lines} == {"worker-1"}
    assert all({"ts", "level", "logger", "message"} <= one.keys() for one in lines)
    of_attempts = [one for one in lines if one["logger"] == "worker.attempt"]
    (began,) = [one for one in of_attempts if "attempt 1 of job" in one["message"]]
    given = next(one for one in lines if "goes to training process" in one["message"])
    assert given["attempt_id"] == began["attempt_id"]
    known = [one for one in lines if "job" in one]
    assert {(one["job"], one["attempt"]) for one in known} == {(job, 1)}
    with Client(service.url, TOKEN) as client:
        text = "".join(client.log_stream(job, 1))
    assert "attempt 1 of job" in text
    assert not any(line.startswith("{") for line in text.splitlines())
    assert TOKEN not in worker.log.read_text()
