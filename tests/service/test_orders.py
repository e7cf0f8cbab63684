"""A pause and a cancellation take effect even if the worker never carries them out."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.db.tables import Job
from service.db.unit_of_work import Unit
from tests.service.helpers import Api, WorkerHand, assert_problem

AT_STEP = {
    "stage": 1, "stages": 2, "epoch": 1, "epochs": 3, "step": 5, "steps": 10, "global_step": 155, "total_steps": 300
}  # fmt: skip


def wanted_for(api: Api, hand: WorkerHand, seconds: float) -> None:
    """Set the time of the request to this many seconds ago."""
    with api.services.database.write() as session:
        earlier = Unit(session).now() - timedelta(seconds=seconds)
        session.execute(update(Job).where(Job.id == hand.job_id).values(desired_at=earlier))


def desired_at(api: Api, hand: WorkerHand) -> Any:
    with api.services.database.read() as session:
        return session.execute(select(Job.desired_at).where(Job.id == hand.job_id)).scalar_one()


def every_write_is_refused(hand: WorkerHand) -> None:
    for answer in (
        hand.beat(),
        hand.checkpoint(500),
        hand.epoch(1, 1, 1),
        hand.note(),
        hand.finish("cancelled"),
        hand.finish("paused"),
        hand.finish("succeeded"),
    ):
        assert_problem(answer, 409, "lease-lost")


def test_a_cancellation_that_a_beating_worker_ignores(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "cancel")
    assert hand.beat().json()["directive"] == "cancel"
    wanted_for(api, hand, 19)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "cancelling"
    wanted_for(api, hand, 20)
    assert hand.beat().json()["directive"] == "cancel"
    api.conduct()
    job, attempt = api.job(hand.job_id), api.attempt(hand.job_id)
    assert (job["status"], job["reason"]) == ("cancelled", "cancelled")
    assert (attempt["state"], attempt["reason"]) == ("cancelled", "cancelled")
    text = attempt["message"]
    assert re.fullmatch(
        r"worker w1, last heartbeat \d s ago, did not carry out the cancellation within 2\d s: its attempt was ended",
        text,
    )
    assert job["message"] == f"cancelled by its owner: {text}"
    events = api.items(hand.job_id, "events")[-2:]
    assert [(event["kind"], event["actor"]) for event in events] == [
        ("attempt_cancelled", "conductor"),
        ("cancelled", "conductor"),
    ]
    assert events[1]["message"] == f"job cancelled: {text}"
    every_write_is_refused(hand)
    api.conduct()
    assert len(api.items(hand.job_id, "attempts")) == 1


def test_a_pause_that_a_worker_ignores_goes_on_at_the_last_checkpoint(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(120)
    hand.beat(progress=AT_STEP)
    api.ask(hand.job_id, "pause")
    wanted_for(api, hand, 599)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "pausing"
    wanted_for(api, hand, 600)
    api.conduct()
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"], job["failures"], job["preemptions"]) == ("paused", "paused", 0, 0)
    assert job["message"].endswith("the job continues at its last checkpoint, step 120: 35 steps are repeated")
    assert api.items(hand.job_id, "events")[-1]["message"] == f"job paused: {job['message']}"
    every_write_is_refused(hand)
    assert api.ask(hand.job_id, "resume").status_code == 202
    successor = api.claim(hand.job_id, "w2")
    assert successor.grant["checkpoints"][0]["position"]["global_step"] == 120
    assert api.job(hand.job_id)["message"] is None


def test_a_pause_of_what_saved_nothing_yet_says_so(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    wanted_for(api, hand, 600)
    api.conduct()
    assert api.job(hand.job_id)["message"].endswith("the job continues at its last checkpoint, step 0")


@pytest.mark.parametrize(("order", "ended"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_silent_worker_is_not_waited_for(start: Callable[..., Api], order: str, ended: str) -> None:
    api = start(cancel_seconds=5, pause_seconds=5)
    hand = api.running()
    with api.services.database.read() as session:
        now = Unit(session).now()
    api.set_attempt(hand.attempt_id, beat_at=now - timedelta(seconds=8))
    api.ask(hand.job_id, order)
    wanted_for(api, hand, 5)
    api.conduct()
    assert api.job(hand.job_id)["status"] == ended
    assert re.search(r"last heartbeat \d+ s ago", api.attempt(hand.job_id)["message"])


def test_a_worker_that_reports_in_time_decides_the_outcome(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    wanted_for(api, hand, 1000)
    hand.checkpoint(7)
    assert hand.finish("paused").status_code == 200
    api.conduct()
    assert api.job(hand.job_id)["message"] is None
    assert api.items(hand.job_id, "events")[-1]["actor"] == "worker:w1"


def test_a_second_request_starts_a_new_grace_period(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    wanted_for(api, hand, 500)
    before = desired_at(api, hand)
    api.ask(hand.job_id, "pause")  # a repeated request keeps the time of the first request
    assert desired_at(api, hand) == before
    api.ask(hand.job_id, "cancel")
    assert desired_at(api, hand) > before
    api.conduct()
    assert api.job(hand.job_id)["status"] == "cancelling"
    wanted_for(api, hand, 20)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "cancelled"


def test_a_pause_that_was_taken_back_ends_nothing(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    api.ask(hand.job_id, "resume")
    wanted_for(api, hand, 1000)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "running"
    assert hand.beat().json()["directive"] == "continue"


def test_an_order_of_the_last_release_counts_from_now(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "cancel")
    with api.services.database.write() as session:
        session.execute(update(Job).values(desired_at=None))
    api.conduct()
    assert api.job(hand.job_id)["status"] == "cancelling"
    assert desired_at(api, hand) is not None
    wanted_for(api, hand, 20)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "cancelled"


def test_an_outage_of_the_service_is_no_time_of_the_workers(start: Callable[..., Api]) -> None:
    api = start(after_outage=True)
    hand = api.running()
    api.ask(hand.job_id, "cancel")
    wanted_for(api, hand, 1000)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "cancelling"
    assert hand.finish("cancelled").status_code == 200
