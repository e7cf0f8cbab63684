"""How the time of a job is divided, computed from rows to the second, for all outcomes of its attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from baton.domain.goodput import PRODUCTIVE, Bucket
from tests.service.clock import MovedClock
from tests.service.helpers import Api, WorkerHand, assert_problem


def spent(seconds: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in seconds.items() if value}


def whole(job: dict[str, Any]) -> bool:
    """The buckets add up to the job's time from submission to end, and the buckets of each attempt to the attempt's
    time.
    """
    begun, ended = (datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at"))
    total = (ended - begun).total_seconds()
    return sum(job["goodput"][bucket] for bucket in Bucket) == pytest.approx(total, rel=0.01, abs=1e-2)


def lose(api: Api, hand: WorkerHand) -> None:
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()


def test_every_second_of_a_lost_paused_and_finished_job(api: Api, clock: MovedClock) -> None:
    job_id = api.submit()["id"]
    clock.to(10)
    hand = api.claim(job_id)
    clock.to(15)
    hand.beat("training", seconds={"startup": 5.0})
    clock.to(40)
    hand.checkpoint(10, trained_seconds=20.0)
    clock.to(52)
    hand.beat("training", seconds={"startup": 5.0, "data_loading": 2.0, "training": 35.0})
    clock.to(60)
    lose(api, hand)
    first = {"waiting": 10, "startup": 5, "data_loading": 2, "training": 20, "redone": 15, "other": 8}
    assert spent(api.items(job_id, "attempts")[0]["seconds"]) == first

    clock.to(70)
    hand = api.claim(job_id)
    api.ask(job_id, "pause")
    clock.to(78)
    hand.checkpoint(12, trained_seconds=5.0, stall_seconds=0.25)
    clock.to(80)
    hand.finish("paused", seconds={"restore": 2.0, "training": 5.0, "checkpoint_stall": 3.0})
    assert spent(api.items(job_id, "attempts")[1]["seconds"]) == {
        "recovery": 10, "restore": 2, "training": 5, "checkpoint_stall": 3,
    }  # fmt: skip
    clock.to(130)
    assert api.job(job_id)["goodput"]["paused"] == 50
    clock.to(180)
    api.ask(job_id, "resume")

    clock.to(185)
    hand = api.claim(job_id)
    clock.to(245)
    hand.finish("succeeded", seconds={"restore": 1.0, "training": 40.0, "validation": 10.0, "evaluation": 5.0})
    job = api.job(job_id)
    assert spent(job["goodput"]) == {
        "waiting": 15, "recovery": 10, "startup": 5, "data_loading": 2, "restore": 3, "training": 65,
        "checkpoint_stall": 3, "validation": 10, "evaluation": 5, "redone": 15, "paused": 100, "other": 12,
        "total": 245, "goodput": pytest.approx(80 / 130, abs=1e-3),
    }  # fmt: skip
    assert whole(job)
    assert sum(job["goodput"][bucket] for bucket in PRODUCTIVE) == 80


def succeed(api: Api, job_id: str, clock: MovedClock) -> None:
    hand = api.claim(job_id)
    clock.to(90)
    hand.finish("succeeded", seconds={"training": 50.0})


def fail(api: Api, job_id: str, clock: MovedClock) -> None:
    hand = api.claim(job_id)
    hand.beat("training", seconds={"training": 20.0})
    clock.to(90)
    hand.finish("failed", reason="bad_data")


def cancel_waiting(api: Api, job_id: str, clock: MovedClock) -> None:
    clock.to(90)
    api.ask(job_id, "cancel")


def cancel_paused(api: Api, job_id: str, clock: MovedClock) -> None:
    api.ask(job_id, "pause")
    clock.to(90)
    api.ask(job_id, "cancel")


def cancel_running(api: Api, job_id: str, clock: MovedClock) -> None:
    hand = api.claim(job_id)
    api.ask(job_id, "cancel")
    clock.to(90)
    hand.finish("cancelled", seconds={"training": 70.0, "checkpoint_stall": 1.0})


def lose_all(api: Api, job_id: str, clock: MovedClock) -> None:
    for moment in (40, 50, 60, 70, 80):
        hand = api.claim(job_id)
        clock.to(moment)
        lose(api, hand)


ENDS: dict[str, tuple[Callable[[Api, str, MovedClock], None], str, dict[str, float]]] = {
    "succeeded": (succeed, "succeeded", {"waiting": 30, "training": 50, "other": 10}),
    "failed": (fail, "failed", {"waiting": 30, "redone": 20, "other": 40}),
    "cancelled while it waits": (cancel_waiting, "cancelled", {"waiting": 90}),
    "cancelled while paused": (cancel_paused, "cancelled", {"waiting": 30, "paused": 60}),
    "cancelled while it trains": (
        cancel_running, "cancelled", {"waiting": 30, "redone": 59, "checkpoint_stall": 60 / 71, "other": 0},
    ),
    "lost for good": (lose_all, "failed", {"waiting": 30, "other": 50}),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_the_buckets_of_every_finished_job_add_up(api: Api, clock: MovedClock, end: str) -> None:
    act, status, expected = ENDS[end]
    job_id = api.submit()["id"]
    clock.to(30)
    act(api, job_id, clock)
    clock.to(9000)
    job = api.job(job_id)
    assert job["status"] == status
    assert whole(job)
    assert {name: job["goodput"][name] for name in expected} == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("end", ["failed", "cancelled while it waits", "cancelled while paused"])
def test_the_time_between_an_end_and_a_retry_is_a_pause(api: Api, clock: MovedClock, end: str) -> None:
    act, _, expected = ENDS[end]
    job_id = api.submit()["id"]
    clock.to(30)
    act(api, job_id, clock)
    clock.to(1090)
    assert api.ask(job_id, "retry").status_code == 202
    clock.to(1100)
    hand = api.claim(job_id)
    clock.to(1150)
    hand.finish("succeeded", seconds={"training": 50.0})
    job = api.job(job_id)
    assert whole(job)
    told = {**{"paused": 0, "training": 0}, **expected, "recovery": 0, "total": 1150}
    told |= {"paused": told["paused"] + 1000, "waiting": told["waiting"] + 10, "training": told["training"] + 50}
    assert {name: job["goodput"][name] for name in told} == pytest.approx(told, abs=0.2)


def test_a_running_job_counts_on_in_the_phase_that_it_told(api: Api, clock: MovedClock) -> None:
    hand = api.running()
    clock.to(10)
    hand.beat("validating", seconds={"training": 8.0, "startup": 2.0})
    clock.to(14)
    job = api.job(hand.job_id)
    assert spent(job["goodput"]) == {
        "startup": 2, "training": 8, "validation": 4, "total": 14, "goodput": pytest.approx(12 / 14, abs=1e-3),
    }  # fmt: skip


def test_a_worker_that_tells_nothing_is_no_error(api: Api, clock: MovedClock) -> None:
    hand = api.running()
    clock.to(10)
    hand.finish("succeeded")
    assert spent(api.job(hand.job_id)["goodput"]) == {"other": 10, "total": 10}


def test_training_after_the_last_good_checkpoint_counts_as_redone(api: Api, clock: MovedClock) -> None:
    hand = api.running()
    hand.checkpoint(10, trained_seconds=10.0)
    bad = hand.checkpoint(20, trained_seconds=18.0).json()
    clock.to(25)
    hand.finish("preempted", seconds={"training": 20.0})
    assert api.items(hand.job_id, "attempts")[0]["seconds"]["training"] == 18
    successor = api.claim(hand.job_id)
    worse = successor.checkpoint(30, trained_seconds=4.0).json()
    clock.to(31)
    successor.finish("preempted", seconds={"training": 4.0})
    third = api.claim(hand.job_id)
    for one in (worse, bad):
        third.post("quarantine", prefix=one["prefix"], message="flipped bit")
    attempts = api.items(hand.job_id, "attempts")
    assert [(a["seconds"]["training"], a["seconds"]["redone"]) for a in attempts] == [(10, 10), (0, 4), (0, 0)]
    assert attempts[2]["start_step"] == 10


@pytest.mark.parametrize("seconds", [{"training": -1}, {"training": "NaN"}, {"training": "Infinity"}, {"x": 1e300}])
def test_seconds_that_make_no_sense_are_refused(api: Api, seconds: dict[str, Any]) -> None:
    hand = api.running()
    assert_problem(hand.beat("training", seconds=seconds), 422, "invalid-request")
    assert_problem(hand.finish("succeeded", seconds=seconds), 422, "invalid-request")


def test_attempts_of_an_older_service_are_taken_for_recoveries(api: Api, clock: MovedClock) -> None:
    hand = api.running()
    clock.to(10)
    hand.finish("preempted", seconds={"training": 10.0})
    api.set_attempt(api.attempt(hand.job_id)["id"], recovers=None)
    clock.to(14)
    assert api.attempt(hand.job_id)["seconds"]["recovery"] == api.job(hand.job_id)["goodput"]["recovery"] == 4
