"""An attempt is claimed by exactly one worker. The claim can be repeated, and leases use the database's clock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from baton.domain.protocol_versions import PROTOCOL
from baton.domain.spec import granted_spec
from baton.domain.wire import Claim, WorkerInfo
from service.db.tables import Attempt
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.errors import Conflict
from service.usecases.leases import Terms, claim
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, WorkerHand, assert_problem, worker_info
from tests.service.progress import PROGRESS

pytestmark = ON_BOTH


def test_a_claim_gives_all_a_worker_needs(api: Api) -> None:
    job = api.submit()
    hand = api.claim(job["id"])
    grant = hand.grant
    assert (grant["attempt"], grant["fence"], grant["checkpoints"]) == (1, 1, [])
    assert (grant["lease_seconds"], grant["heartbeat_seconds"]) == (30.0, 10.0)
    assert grant["spec"] == granted_spec(job["spec"])
    assert grant["protocol"] == PROTOCOL
    assert grant["seconds_between_interruptions"] == 3600.0
    attempt = api.attempt(job["id"])
    assert (attempt["state"], attempt["worker"], attempt["start_step"]) == ("starting", "w1", 0)
    shown = api.job(job["id"])
    assert (shown["status"], shown["worker"], shown["phase"]) == ("running", "w1", "starting")
    assert shown["started_at"] is not None
    assert api.kinds(job["id"]) == ["submitted", "queued", "claimed"]
    assert api.items(job["id"], "events")[-1]["actor"] == "worker:w1"


def test_a_claim_whose_answer_was_lost_can_be_repeated(api: Api) -> None:
    hand = api.claim(api.submit()["id"])
    assert hand.claim().json() == hand.grant
    hand.beat("training")
    assert hand.claim().json() == hand.grant
    assert api.kinds(hand.job_id).count("claimed") == 1


def test_a_second_claim_is_refused(api: Api) -> None:
    hand = api.claim(api.submit()["id"])
    other = WorkerHand(api, hand.attempt_id, hand.job_id, "w2")
    assert_problem(other.claim(), 409, "conflict")
    hand.finish("succeeded")
    assert_problem(other.claim(), 409, "conflict")
    assert_problem(hand.claim(), 409, "conflict")


def test_exactly_one_of_many_racing_claims_wins(api: Api) -> None:
    job = api.submit()
    attempt_id = api.attempt(job["id"])["id"]
    hands = [WorkerHand(api, attempt_id, job["id"], f"w{n}") for n in range(16)]
    with ThreadPoolExecutor(16) as pool:
        statuses = [answer.status_code for answer in pool.map(WorkerHand.claim, hands)]
    assert sorted(statuses) == [200] + [409] * 15
    winner = hands[statuses.index(200)]
    assert api.attempt(job["id"])["worker"] == winner.name
    assert api.kinds(job["id"]).count("claimed") == 1


@ON_SQLITE
def test_a_claim_without_the_lock_takes_no_attempt_that_another_claim_has(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = api.attempt(api.submit()["id"])["id"]
    claimed = update(Attempt).where(Attempt.id == attempt_id).values(state="starting")
    message = Claim(claim_id="0" * 32, worker=WorkerInfo.model_validate(worker_info()))
    with api.services.database.write() as session:
        unit = Unit(session)
        stale = unit.lock_attempt(attempt_id)
        session.execute(claimed, execution_options={"synchronize_session": False})
        monkeypatch.setattr(unit, "lock_attempt", lambda _attempt_id: stale)
        with pytest.raises(Conflict, match="claimed by another worker"):
            claim(unit, attempt_id, message, Terms(lease=30, heartbeat=10))


def test_a_claim_before_its_time_is_refused(api: Api) -> None:
    job = api.submit()
    attempt_id = api.attempt(job["id"])["id"]
    with api.services.database.read() as session:
        now = session.execute(select(db_now())).scalar_one()
    api.set_attempt(attempt_id, not_before=now + timedelta(minutes=5), urgency=None, needs_key=None)
    assert_problem(WorkerHand(api, attempt_id, job["id"]).claim(), 409, "conflict")


@pytest.mark.parametrize("attempt_id", ["0" * 32, "x", "ü"])
def test_an_attempt_that_never_was(api: Api, attempt_id: str) -> None:
    hand = WorkerHand(api, attempt_id, "", grant={"fence": 1})
    assert_problem(hand.claim(), 404, "not-found")
    assert_problem(hand.beat(), 404, "not-found")
    assert_problem(hand.finish("succeeded"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "claim_id"),
        ({"claim_id": "short", "worker": worker_info()}, "claim_id"),
        ({"claim_id": "12345678"}, "worker"),
        ({"claim_id": "12345678", "worker": {**worker_info(), "name": ""}}, "worker.name"),
        ({"claim_id": "12345678", "worker": {**worker_info(), "pid": 2**70}}, "worker.pid"),
    ],
)
@ON_SQLITE
def test_a_claim_that_makes_no_sense(api: Api, body: dict[str, Any], field: str) -> None:
    attempt_id = api.attempt(api.submit()["id"])["id"]
    problem = assert_problem(api.http.post(f"/v1/attempts/{attempt_id}/claim", json=body), 422, "invalid-request")
    assert field in [error["field"] for error in problem["errors"]]


def test_the_first_training_heartbeat_starts_the_attempt(api: Api) -> None:
    hand = api.claim(api.submit()["id"])
    assert hand.beat("loading").json() == {"directive": "continue", "lease_seconds": 30.0, "protocol": PROTOCOL}
    assert api.attempt(hand.job_id)["state"] == "starting"
    hand.beat("training", progress=PROGRESS, metrics={"loss": 2.5})
    assert api.attempt(hand.job_id)["state"] == "running"
    job = api.job(hand.job_id)
    assert job["progress"] == {**PROGRESS, "fraction": 0.25, "files_left_out": 0, "metrics": {"loss": 2.5}}
    assert (job["metrics"], job["phase"]) == ({}, "training")
    assert [stage["state"] for stage in api.items(hand.job_id, "stages")] == ["active", "waiting"]
    hand.beat("validating")
    kinds = api.kinds(hand.job_id)
    assert (kinds.count("started"), kinds.count("stage_started")) == (1, 1)
    assert api.job(hand.job_id)["progress"]["step"] == 5  # a heartbeat without progress keeps the old progress


def test_the_status_shows_the_activity_of_an_attempt_until_it_ends(api: Api) -> None:
    hand = api.claim(api.submit()["id"])
    words = "downloading tiny-imagenet-200.zip: 120 MB of 248 MB"
    hand.beat("loading", doing=words)
    assert (api.job(hand.job_id)["phase"], api.job(hand.job_id)["message"]) == ("loading", words)
    assert api.attempt(hand.job_id)["message"] == words
    hand.beat("training", progress=PROGRESS)
    assert (api.job(hand.job_id)["message"], api.attempt(hand.job_id)["message"]) == (None, None)
    hand.beat("loading", doing=words)
    hand.finish("preempted", reason="preempted", message="SIGTERM")
    assert api.attempt(hand.job_id)["message"] != words
    assert api.job(hand.job_id)["message"] != words


@pytest.mark.parametrize("phase", ["validating", "evaluating"])
def test_an_attempt_resumed_between_epochs_starts_too(api: Api, phase: str) -> None:
    hand = api.claim(api.submit()["id"])
    hand.beat(phase)
    assert api.attempt(hand.job_id)["state"] == "running"


def test_a_stopping_worker_is_shown_and_still_held(api: Api) -> None:
    hand = api.running()
    hand.beat("stopping")
    assert api.attempt(hand.job_id)["state"] == "stopping"
    assert hand.beat("stopping").status_code == 200
    assert hand.checkpoint(5).status_code == 201
    assert api.kinds(hand.job_id).count("stopping") == 1


def test_each_heartbeat_grows_the_version_and_the_lease(api: Api) -> None:
    hand = api.running()
    before, version = api.attempt(hand.job_id)["lease_expires_at"], api.job(hand.job_id)["version"]
    hand.beat("training")
    assert api.attempt(hand.job_id)["lease_expires_at"] > before
    assert api.job(hand.job_id)["version"] > version


def test_nan_and_infinity_are_kept(api: Api) -> None:
    hand = api.running()
    odd = {"loss": "NaN", "rate": "Infinity"}
    assert hand.beat("training", progress=PROGRESS, metrics=odd).status_code == 200
    assert api.job(hand.job_id)["progress"]["metrics"] == odd
    body = b'{"fence": 1, "kind": "odd", "message": "m", "data": {"loss": [NaN, -Infinity]}}'
    url, headers = f"/v1/attempts/{hand.attempt_id}/notes", {"content-type": "application/json"}
    assert api.http.post(url, content=body, headers=headers).status_code == 201
    assert api.items(hand.job_id, "events")[-1]["data"]["loss"] == ["NaN", "-Infinity"]
    hand.finish("succeeded", results={"test_loss": "NaN"})
    assert api.job(hand.job_id)["results"] == {"test_loss": "NaN"}


def test_the_lease_is_counted_on_the_databases_clock(api: Api) -> None:
    def now() -> datetime:
        with api.services.database.read() as session:
            return session.execute(select(db_now())).scalar_one()

    before = now()
    hand = api.running()
    after = now()
    expires = datetime.fromisoformat(api.attempt(hand.job_id)["lease_expires_at"])
    assert before <= expires - timedelta(seconds=30) <= after
