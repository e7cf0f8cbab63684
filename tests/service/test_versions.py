"""Workers of other versions: a job goes only to workers that can read it, and reports what it waits for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from baton.domain.protocol_versions import CANNOT_READ, PROTOCOL
from service.api import attempts as endpoints
from service.db.tables import Attempt, Job
from service.errors import WorkerTooOld
from service.usecases.queue_order import place
from tests.service.helpers import Api, WorkerHand, assert_problem, spec, worker_info

TOO_OLD = {"outcome": "failed", "reason": "unsupported", "message": CANNOT_READ + "limits: is not a known field"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that one worker was refused can be claimed by the next one without a delay."""
    monkeypatch.setitem(endpoints.AGAIN_AFTER, WorkerTooOld, 0.0)


def needs(api: Api, version: int, **changes: Any) -> str:
    """A new job that uses this version of the spec."""
    job_id: str = api.submit(**changes)["id"]
    with api.services.database.write() as session:
        job = session.scalars(select(Job).where(Job.id == job_id)).one()
        job.spec_version = version
        place(session.scalars(select(Attempt).where(Attempt.job_id == job_id)).one(), job, api.services.settings.limits)
    return job_id


def info(name: str, spec_version: int, protocol: int = PROTOCOL) -> dict[str, Any]:
    return {**worker_info(name), "spec_version": spec_version, "protocol": protocol}


def claim(api: Api, job_id: str, worker: dict[str, Any]) -> httpx.Response:
    attempt = api.attempt(job_id)["id"]
    body = {"claim_id": f"claim-of-{worker['name']}-{attempt}", "worker": worker}
    return api.http.post(f"/v1/attempts/{attempt}/claim", json=body)


def report(api: Api, worker: dict[str, Any]) -> None:
    body = {**worker, "queues": ["default"], "busy": False}
    assert api.http.post("/v1/workers", json=body).status_code == 204


def hand_of(api: Api, job_id: str, name: str, answer: httpx.Response) -> WorkerHand:
    assert answer.status_code == 200, answer.text
    return WorkerHand(api, answer.json()["attempt_id"], job_id, name, grant=answer.json())


def test_a_worker_that_is_too_old_is_refused_and_another_gets_the_attempt(api: Api) -> None:
    job_id = needs(api, 3)
    problem = assert_problem(claim(api, job_id, info("old", 2)), 409, "worker-too-old")
    assert "version 3 of the spec" in problem["detail"]
    assert "old (Baton 0.1.0) understands versions up to 2: install" in problem["detail"]
    attempt = api.attempt(job_id)
    assert (attempt["attempt"], attempt["state"]) == (1, "queued")
    assert claim(api, job_id, info("new", 3)).status_code == 200


def test_a_worker_that_names_no_version_has_the_first(api: Api) -> None:
    assert_problem(claim(api, needs(api, 2), worker_info("old")), 409, "worker-too-old")
    assert claim(api, api.submit()["id"], worker_info("old")).status_code == 200
    (seen,) = api.http.get("/v1/workers").json()["items"]
    assert (seen["protocol"], seen["spec_version"], seen["refusal"]) == (1, 1, None)


def test_a_poll_is_not_offered_what_its_worker_cannot_read(api: Api) -> None:
    job_id = needs(api, 2)

    def offered(worker: dict[str, Any]) -> str | None:
        body = {"worker": worker, "queues": ["default"], "wait_seconds": 0}
        found: str | None = api.http.post("/v1/attempts:next", json=body).json()["attempt_id"]
        return found

    assert offered(worker_info("old")) is None
    assert offered(info("new", 2)) == api.attempt(job_id)["id"]


def test_the_status_says_that_a_newer_worker_is_needed(api: Api) -> None:
    job_id = needs(api, 2)
    report(api, worker_info("old"))
    text = "a newer worker: the workers of queue default cannot read the spec of this job; upgrade them"
    assert api.job(job_id)["waiting_for"] == text
    report(api, info("new", 2))
    assert api.job(job_id)["waiting_for"] == "a worker of queue default"


@pytest.mark.parametrize(
    ("worker", "ending"),
    [
        (worker_info("old"), TOO_OLD),  # the report of the previous release
        (info("old", 1), {**TOO_OLD, "reason": "worker_too_old"}),
    ],
)
def test_a_worker_that_cannot_read_a_spec_costs_the_job_nothing(
    api: Api, worker: dict[str, Any], ending: dict[str, Any]
) -> None:
    report(api, worker)
    job_id = api.submit(**spec(retry={"max_failures": 0, "max_attempts_without_progress": 1}))["id"]
    hand = hand_of(api, job_id, "old", claim(api, job_id, worker))
    hand.beat("starting")
    assert hand.finish(**ending).json()["reason"] == "worker_too_old"
    job = api.job(job_id)
    assert (job["status"], job["reason"]) == ("recovering", "worker_too_old")
    api.set_attempt(api.attempt(job_id)["id"], not_before=datetime(2026, 1, 1, tzinfo=UTC))
    problem = assert_problem(claim(api, job_id, worker), 409, "worker-too-old")
    assert "could not read the job's spec before" in problem["detail"]
    assert api.job(job_id)["waiting_for"].startswith("a newer worker")
    # The same worker may claim it after an upgrade, and so may any other one.
    upgraded = hand_of(api, job_id, "old", claim(api, job_id, info("old", 2, PROTOCOL + 1)))
    upgraded.finish("failed", reason="worker_too_old")
    api.set_attempt(api.attempt(job_id)["id"], not_before=datetime(2026, 1, 1, tzinfo=UTC))
    other = hand_of(api, job_id, "other", claim(api, job_id, worker_info("other")))
    other.beat("training")
    assert other.finish("succeeded").json()["state"] == "succeeded"
    assert api.job(job_id)["status"] == "succeeded"


def test_a_spec_that_names_something_impossible_still_ends_the_job(api: Api) -> None:
    job_id = api.submit()["id"]
    hand = hand_of(api, job_id, "old", claim(api, job_id, worker_info("old")))
    hand.finish("failed", reason="unsupported", message="this GPU has no bfloat16")
    assert (api.job(job_id)["status"], api.job(job_id)["reason"]) == ("failed", "unsupported")
