"""A job with a budget is paused with its state saved when the budget is used up, and goes on when it is raised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from tests.programs.conftest import LEASE
from tests.support.jobs import Jobs
from tests.support.program_jobs import program
from tests.support.programs.chain import final_state
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import Workers

STEPS = 200


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[ServiceProcess]:
    """A service at which a second of any device costs 1."""
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, redis_url, BATON_PRICES="*=3600", BATON_CURRENCY="EUR", **LEASE) as process:
        yield process


@pytest.fixture
def http(service: ServiceProcess) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def test_it_is_paused_at_its_budget_and_resumes_to_the_bit(jobs: Jobs, workers: Workers, http: httpx.Client) -> None:
    workers.start("--programs")
    params = {"steps": STEPS, "step_seconds": 0.04, "epoch_steps": 50}
    # Only the budget makes it save: a checkpoint each 5000 steps would come after the end.
    every = {"every": "5000 steps"}
    job = jobs.submit(program("chain.py", params=params, limits={"budget": {"money": 3}}, checkpoint=every))
    view = jobs.await_job(job, lambda view: view["status"] == "paused")
    assert (view["reason"], view["currency"]) == ("budget_reached", "EUR")
    assert re.fullmatch(r"the job cost [\d.]+, and its budget is 3\.00 \(limits\.budget\.money\)", view["message"])
    assert 3 <= Decimal(view["cost"]) < 13, jobs.items(job, "events")  # within seconds
    (first,) = jobs.items(job, "attempts")
    assert (first["state"], first["reason"], first["cost"]) == ("paused", "budget_reached", view["cost"])
    assert 0 < view["checkpoint"]["global_step"] == first["end_step"] < STEPS
    assert http.post(f"/v1/jobs/{job}/resume").status_code == 409
    assert http.patch(f"/v1/jobs/{job}", json={"limits": {"budget": {"money": 1000}}}).status_code == 200
    assert http.post(f"/v1/jobs/{job}/resume").status_code == 202
    ended = jobs.await_end(job)
    assert ended["status"] == "succeeded"
    assert jobs.download(job, "final.txt").decode() == final_state(STEPS).hex()
    attempts = jobs.items(job, "attempts")
    assert attempts[1]["start_step"] == first["end_step"]
    total = http.get("/v1/usage?by=job").json()["total"]
    assert sum(Decimal(one["cost"]) for one in attempts) == Decimal(ended["cost"]) == Decimal(total["cost"])
    assert Decimal(total["redone_cost"]) < 1
