"""Restores that fail are limited in number, and an attempt that starts from the beginning reports it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.helpers import Api, WorkerHand

RETRY = {"max_failures": 100, "max_attempts_without_progress": 100, "backoff": 0}
DIED = {"reason": "process_died", "message": "killed"}


def saved(api: Api) -> str:
    """A job with a checkpoint, waiting for its next attempt."""
    hand = api.running(retry=RETRY)
    hand.checkpoint(10)
    hand.finish("preempted")
    return hand.job_id


def end_in(api: Api, job_id: str, phase: str, outcome: str = "failed", **more: Any) -> str:
    hand = api.claim(job_id)
    hand.beat(phase)
    hand.finish(outcome, **more)
    return str(api.job(job_id)["status"])


def test_the_third_crash_in_a_row_while_it_restores_ends_the_job(api: Api) -> None:
    job_id = saved(api)
    assert [end_in(api, job_id, "restoring", **DIED) for _ in range(3)] == ["recovering", "recovering", "failed"]
    job = api.job(job_id)
    assert job["reason"] == "restore_failed"
    assert "killed" in job["message"]
    assert "submit the job again" in job["message"]
    assert "failed" in api.kinds(job_id)


def test_a_lost_worker_counts_and_a_warned_one_does_not(api: Api) -> None:
    job_id = saved(api)
    end_in(api, job_id, "restoring", **DIED)
    end_in(api, job_id, "restoring", "preempted")
    hand = api.claim(job_id)
    hand.beat("restoring")
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    assert api.job(job_id)["status"] == "recovering"
    assert end_in(api, job_id, "restoring", **DIED) == "failed"
    assert api.job(job_id)["reason"] == "restore_failed"


def test_an_attempt_that_trains_ends_the_row(api: Api) -> None:
    job_id = saved(api)
    for _ in range(2):
        end_in(api, job_id, "restoring", **DIED)
    end_in(api, job_id, "training", **DIED)
    assert [end_in(api, job_id, "restoring", **DIED) for _ in range(3)] == ["recovering", "recovering", "failed"]


def test_a_store_that_is_away_is_tried_as_often_as_the_owner_allows(api: Api) -> None:
    job_id = saved(api)
    for _ in range(5):
        assert end_in(api, job_id, "restoring", reason="store_unavailable", message="away") == "recovering"


@pytest.mark.parametrize("phase", ["starting", "loading", "training"])
def test_other_phases_do_not_count(api: Api, phase: str) -> None:
    job_id = saved(api)
    for _ in range(4):
        assert end_in(api, job_id, phase, **DIED) == "recovering"


def test_the_phase_may_come_with_the_finish(api: Api) -> None:
    job_id = saved(api)
    for _ in range(3):
        api.claim(job_id).finish("failed", phase="restoring", **DIED)
    assert api.job(job_id)["reason"] == "restore_failed"


def lose_the_checkpoint(api: Api, job_id: str) -> WorkerHand:
    hand = api.claim(job_id)
    for one in hand.grant["checkpoints"]:
        hand.post("quarantine", prefix=one["prefix"], message="flipped bit")
    return hand


def test_a_run_that_starts_from_the_beginning_says_so_as_long_as_it_runs(api: Api) -> None:
    job_id = saved(api)
    hand = lose_the_checkpoint(api, job_id)
    hand.beat("training")
    job = api.job(job_id)
    assert job["status"] == "running"
    assert "starting from the beginning" in job["message"]
    assert job["checkpoint"] is None
    assert api.kinds(job_id).count("restarted") == 1
    assert api.attempt(job_id)["start_step"] == 0
    hand.finish("succeeded")
    assert api.job(job_id)["message"] is None


def test_the_next_attempt_says_it_again_if_nothing_was_saved_since(api: Api) -> None:
    job_id = saved(api)
    lose_the_checkpoint(api, job_id).finish("preempted")
    hand = api.claim(job_id)
    assert hand.grant["checkpoints"] == []
    assert "starting from the beginning" in api.job(job_id)["message"]
    hand.checkpoint(1)
    hand.finish("preempted")
    api.claim(job_id)
    assert api.job(job_id)["message"] is None
    assert api.kinds(job_id).count("restarted") == 2


def test_one_bad_checkpoint_of_two_is_no_restart(api: Api) -> None:
    hand = api.running(retry=RETRY)
    hand.checkpoint(10)
    bad = hand.checkpoint(20).json()
    hand.finish("preempted")
    successor = api.claim(hand.job_id)
    successor.post("quarantine", prefix=bad["prefix"], message="flipped bit")
    assert api.job(hand.job_id)["message"] is None
    assert api.attempt(hand.job_id)["start_step"] == 10


def test_rows_of_the_history_are_replaced_as_the_run_passes_them_again(api: Api) -> None:
    hand = api.running(retry=RETRY)
    hand.checkpoint(10)
    for number in (1, 2):
        hand.epoch(number, 1, number)
    hand.finish("preempted")
    successor = lose_the_checkpoint(api, hand.job_id)
    successor.beat("training")
    successor.epoch(1, 1, 1, row={"loss": 0.25})
    rows = api.items(hand.job_id, "history")
    assert [(row["epoch"], row["attempt"], row["loss"]) for row in rows] == [(1, 2, 0.25), (2, 1, 0.5)]


def test_steps_made_again_after_a_restart_are_progress(api: Api) -> None:
    hand = api.running(retry={**RETRY, "max_attempts_without_progress": 2})
    hand.checkpoint(100)
    hand.finish("preempted")
    successor = lose_the_checkpoint(api, hand.job_id)
    successor.checkpoint(10)
    successor.finish("preempted")
    for step in (20, 30):
        successor = api.claim(hand.job_id)
        successor.checkpoint(step)
        successor.finish("preempted")
        assert api.job(hand.job_id)["status"] == "recovering"
