"""The outcomes of attempts and what follows: retries, repeated calls, backoff, and the cap on attempts without
progress.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.service.helpers import Api, assert_problem


def test_success(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(30)
    progress = {
        "stage": 2, "stages": 2, "epoch": 3, "epochs": 3, "step": 1, "steps": 1, "global_step": 30, "total_steps": 30,
    }  # fmt: skip
    answer = hand.finish("succeeded", results={"test_accuracy": 0.97}, progress=progress)
    assert answer.json()["state"] == "succeeded"
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"], job["worker"], job["phase"]) == ("succeeded", None, None, None)
    assert job["results"] == {"test_accuracy": 0.97}
    assert job["progress"]["fraction"] == 1.0
    assert job["finished_at"] is not None
    assert {stage["state"] for stage in api.items(hand.job_id, "stages")} == {"succeeded"}
    assert api.kinds(hand.job_id)[-1] == "succeeded"


def test_the_same_finish_again_gets_the_same_answer(api: Api) -> None:
    hand = api.running()
    first = hand.finish("preempted", message="SIGTERM")
    again = hand.finish("preempted", message="SIGTERM")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert api.kinds(hand.job_id).count("attempt_preempted") == 1
    assert len(api.items(hand.job_id, "attempts")) == 2
    assert_problem(hand.finish("succeeded"), 409, "lease-lost")


@pytest.mark.parametrize("reason", ["bad_data", "unsupported"])
def test_the_users_mistake_is_not_tried_again(api: Api, reason: str) -> None:
    hand = api.running()
    hand.finish("failed", reason=reason, message="cat.jpg is no image")
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"], job["message"]) == ("failed", reason, "cat.jpg is no image")
    assert api.kinds(hand.job_id)[-2:] == ["attempt_failed", "failed"]
    assert len(api.items(hand.job_id, "attempts")) == 1


def test_a_failure_is_tried_again_after_a_while(api: Api) -> None:
    hand = api.running(retry={"backoff": "40s"})
    hand.finish("failed", reason="out_of_memory", message="no memory")
    job, attempt = api.job(hand.job_id), api.attempt(hand.job_id)
    assert (job["status"], job["reason"], job["failures"], job["preemptions"]) == ("recovering", "out_of_memory", 1, 0)
    assert (attempt["attempt"], attempt["state"]) == (2, "queued")
    event = api.items(hand.job_id, "events")[-1]
    assert event["kind"] == "queued"
    assert 20 <= event["data"]["after"] <= 40
    api.conduct()
    assert "dispatched" not in api.kinds(hand.job_id)[6:]


def test_a_failure_without_a_reason_is_an_exception(api: Api) -> None:
    hand = api.running()
    hand.finish("failed", message="boom")
    assert api.items(hand.job_id, "attempts")[0]["reason"] == "exception"


def test_failures_beyond_the_budget_end_the_job(api: Api) -> None:
    job_id = api.submit(retry={"max_failures": 2, "backoff": 0, "max_attempts_without_progress": 50})["id"]
    for _ in range(3):
        api.claim(job_id).finish("failed", reason="exception", message="ValueError: no")
    job = api.job(job_id)
    assert (job["status"], job["reason"], job["failures"], job["attempts"]) == ("failed", "too_many_failures", 3, 3)
    assert "ValueError: no" in job["message"]


def test_preemptions_cost_no_failures(api: Api) -> None:
    job_id = api.submit(retry={"max_failures": 0, "max_attempts_without_progress": 50})["id"]
    for n in range(6):
        api.claim(job_id).finish("preempted")
        assert api.job(job_id)["status"] == "recovering", n
    job = api.job(job_id)
    assert (job["preemptions"], job["failures"], job["attempts"]) == (6, 0, 7)


def test_attempts_that_commit_nothing_end_the_job(api: Api) -> None:
    job_id = api.submit(retry={"max_attempts_without_progress": 3})["id"]
    api.claim(job_id).finish("preempted")
    api.claim(job_id).finish("preempted")
    hand = api.claim(job_id)
    hand.checkpoint(5)
    hand.finish("preempted")  # this attempt made progress: the count starts again at 0
    for expected in ("recovering", "recovering", "failed"):
        hand = api.claim(job_id)
        hand.checkpoint(5)  # no step after the furthest one
        hand.finish("preempted")
        assert api.job(job_id)["status"] == expected
    assert api.job(job_id)["reason"] == "no_progress"


def test_a_repeated_epoch_of_a_later_stage_is_progress(api: Api) -> None:
    hand = api.running(retry={"max_attempts_without_progress": 2})
    hand.checkpoint(10)
    hand.finish("preempted")
    hand = api.claim(hand.job_id)
    position = {"stage": 0, "epoch": 1, "step": 0, "global_step": 10}
    hand.checkpoint(10, position=position)  # the same step, but after validation
    hand.finish("preempted")
    api.claim(hand.job_id).finish("preempted")
    assert api.job(hand.job_id)["status"] == "recovering"


def test_the_next_attempt_starts_where_the_last_one_saved(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(10)
    hand.checkpoint(20)
    hand.finish("preempted", progress=None)
    successor = api.claim(hand.job_id, "w2")
    assert [c["position"]["global_step"] for c in successor.grant["checkpoints"]] == [20, 10]
    assert api.attempt(hand.job_id)["start_step"] == 20
    assert api.items(hand.job_id, "attempts")[0]["end_step"] == 20


ENDINGS: list[tuple[str, str, dict[str, Any], str]] = [
    ("pause", "paused", {}, "paused"),
    ("pause", "preempted", {}, "paused"),
    ("pause", "failed", {"reason": "exception"}, "paused"),
    ("pause", "failed", {"reason": "bad_data"}, "failed"),
    ("pause", "succeeded", {}, "succeeded"),
    ("cancel", "cancelled", {}, "cancelled"),
    ("cancel", "preempted", {}, "cancelled"),
    ("cancel", "failed", {"reason": "exception"}, "cancelled"),
    ("cancel", "failed", {"reason": "bad_data"}, "cancelled"),
    ("cancel", "paused", {}, "cancelled"),
    ("cancel", "succeeded", {}, "succeeded"),
]


@pytest.mark.parametrize(("wish", "outcome", "more", "status"), ENDINGS)
def test_what_the_owner_wants_takes_effect_at_the_end(
    api: Api, wish: str, outcome: str, more: dict[str, Any], status: str
) -> None:
    hand = api.running()
    assert api.ask(hand.job_id, wish).json()["status"] == {"pause": "pausing", "cancel": "cancelling"}[wish]
    assert hand.beat("training").json()["directive"] == wish
    hand.finish(outcome, **more)
    assert api.job(hand.job_id)["status"] == status
    assert len(api.items(hand.job_id, "attempts")) == 1


@pytest.mark.parametrize(("wish", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_pause_or_cancellation_takes_effect_if_the_worker_is_lost(api: Api, wish: str, status: str) -> None:
    hand = api.running()
    api.ask(hand.job_id, wish)
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    assert api.job(hand.job_id)["status"] == status
    assert [a["state"] for a in api.items(hand.job_id, "attempts")] == ["lost"]


def test_a_pause_taken_back_too_late_goes_on_at_once(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    api.ask(hand.job_id, "resume")
    hand.finish("paused")
    assert api.job(hand.job_id)["status"] == "queued"
    assert [a["state"] for a in api.items(hand.job_id, "attempts")] == ["paused", "queued"]


def test_nobody_but_the_owner_cancels(api: Api) -> None:
    hand = api.running()
    assert_problem(hand.finish("cancelled"), 409, "conflict")
    assert api.job(hand.job_id)["status"] == "running"


def test_pauses_do_not_count_as_attempts_without_progress(api: Api) -> None:
    job_id = api.submit(retry={"max_attempts_without_progress": 1})["id"]
    for _ in range(3):
        hand = api.claim(job_id)
        api.ask(job_id, "pause")
        hand.finish("paused")
        api.ask(job_id, "resume")
    assert api.job(job_id)["status"] == "queued"


def test_times_are_in_order(api: Api) -> None:
    hand = api.running()
    hand.finish("succeeded")
    job = api.job(hand.job_id)
    times = [datetime.fromisoformat(job[name]) for name in ("created_at", "started_at", "finished_at")]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)
