"""Real workers whose tokens have only the scope `work`: they train, stop on notice, report deaths, and end when
revoked.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.jobs import Jobs
from tests.support.service import ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

PATIENCE = 120.0


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


@pytest.fixture
def draw(service: ServiceProcess) -> Callable[[], dict[str, str]]:
    def make() -> dict[str, str]:
        with service.client() as http:
            body = {"name": f"w-{uuid.uuid4().hex[:8]}", "scopes": ["work"]}
            made: dict[str, str] = http.post("/v1/tokens", json=body).json()
            return made

    return make


@pytest.mark.parametrize("road", [(), ("--poll",)])
def test_it_trains_and_reports_the_death_of_its_training(
    workers: Workers, jobs: Jobs, draw: Callable[[], dict[str, str]], road: tuple[str, ...]
) -> None:
    queue = f"q{len(road)}"
    killed = {"fail-at": 8, "fail-attempts": 1, "fail-how": "killed"}
    job = jobs.submit(fast(epochs=1, queue=queue, fake=killed))
    worker = workers.start(*road, "--queue", queue, BATON_TOKEN=draw()["token"])
    assert jobs.await_end(job)["status"] == "succeeded"
    first, second = jobs.items(job, "attempts")
    # The parent reported the death immediately, with the token of the attempt that the training process had claimed.
    assert (first["state"], first["reason"]) == ("failed", "process_died")
    assert (second["state"], second["worker"]) == ("succeeded", worker.name)
    log = worker.log.read_text()
    assert "answered 401" not in log
    assert "answered 403" not in log
    assert "baton_" not in log


def test_it_stops_when_its_token_is_revoked_and_another_takes_over(
    service: ServiceProcess, workers: Workers, jobs: Jobs, draw: Callable[[], dict[str, str]]
) -> None:
    made, another = draw(), draw()
    job = jobs.submit(fast(epochs=1, steps=300, queue="revoked"))
    shut_out = workers.start("--queue", "revoked", BATON_TOKEN=made["token"], BATON_FAKE_STEP_SECONDS="0.1")
    jobs.await_step(job, 6)
    with service.client() as http:
        assert http.post(f"/v1/tokens/{made['id']}/revoke").status_code == 200
    # The revoked worker is refused: its lease expires, and it takes no messages from other workers.
    until(lambda: jobs.items(job, "attempts")[0]["state"] == "lost", PATIENCE, "the lease of the revoked one runs out")
    assert shut_out.process is not None
    assert shut_out.process.wait(PATIENCE) == 4
    assert "was revoked" in shut_out.log.read_text().splitlines()[-2]
    successor = workers.start("--queue", "revoked", BATON_TOKEN=another["token"], BATON_FAKE_STEP_SECONDS="0.001")
    assert jobs.await_end(job)["status"] == "succeeded"
    first, *others = jobs.items(job, "attempts")
    assert first["worker"] == shut_out.name
    assert {one["worker"] for one in others} == {successor.name}
    assert others[0]["start_step"] > 0
