"""The retry policy: failures that repeat, failures that are reset by progress, and failures that do not count."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from baton.domain.retry_history import FORGIVEN_AFTER
from service.db.tables import Attempt
from tests.service.helpers import Api, assert_problem

RETRY = {"max_failures": 100, "max_attempts_without_progress": 100, "backoff": 0}
FAILURE: dict[str, Any] = {
    "reason": "exception",
    "message": "Traceback (most recent call last):\nValueError: image 7 is broken",
    "at_step": 12,
    "fault": "builtins.ValueError in decode.py:31 decode",
    "phase": "training",
}


def fail(api: Api, job_id: str, **changes: Any) -> dict[str, Any]:
    """Fail the next attempt of the job, and return the job."""
    hand = api.claim(job_id)
    hand.beat("training")
    answer = hand.finish("failed", **{**FAILURE, **changes})
    assert answer.status_code == 200, answer.text
    return api.job(job_id)


def test_the_same_failure_at_the_same_step_ends_the_job_at_once(api: Api) -> None:
    job_id = api.submit(retry=RETRY)["id"]
    assert fail(api, job_id)["status"] == "recovering"
    job = fail(api, job_id)
    assert (job["status"], job["reason"], job["failures"]) == ("failed", "deterministic_failure", 2)
    assert "step 12" in job["message"]
    assert job["message"].endswith("ValueError: image 7 is broken")
    assert api.kinds(job_id)[-2:] == ["attempt_failed", "failed"]
    assert [a["reason"] for a in api.items(job_id, "attempts")] == ["exception", "exception"]


@pytest.mark.parametrize(
    "change",
    [
        {"at_step": 13},
        {"at_step": None},
        {"fault": "builtins.ValueError in decode.py:32 decode"},
        {"fault": None},
        {"reason": "process_died"},
        {"phase": "loading"},  # the attempt had not begun to train: the machine may be the cause
    ],
)
def test_different_failures_are_retried(api: Api, change: dict[str, Any]) -> None:
    job_id = api.submit(retry=RETRY)["id"]
    for changes in ({}, change, {}, change):
        assert fail(api, job_id, **changes)["status"] == "recovering"


def test_a_preemption_in_between_changes_nothing(api: Api) -> None:
    job_id = api.submit(retry=RETRY)["id"]
    fail(api, job_id)
    api.claim(job_id).finish("preempted")
    assert fail(api, job_id)["reason"] == "deterministic_failure"


def test_memory_that_runs_out_twice_on_one_kind_of_device(api: Api) -> None:
    job_id = api.submit(retry=RETRY)["id"]
    full = {"reason": "out_of_memory", "message": "the device's memory is full: take a smaller batch_size"}
    fail(api, job_id, **full)
    job = fail(api, job_id, **full)
    assert job["reason"] == "deterministic_failure"
    assert "smaller batch_size" in job["message"]


def test_a_pause_wins_over_a_retry_but_not_over_a_failure_for_good(api: Api) -> None:
    job_id = api.submit(retry=RETRY)["id"]
    fail(api, job_id)
    hand = api.claim(job_id)
    hand.beat("training")
    api.ask(job_id, "pause")
    hand.finish("failed", **FAILURE)
    assert api.job(job_id)["reason"] == "deterministic_failure"


def test_a_message_of_an_older_worker_is_understood(api: Api) -> None:
    job_id = api.submit(retry=RETRY)["id"]
    for _ in range(3):
        api.claim(job_id).finish("failed", reason="exception", message="ValueError")
    assert api.job(job_id)["status"] == "recovering"


def test_failures_long_ago_are_forgiven(api: Api) -> None:
    job_id = api.submit(retry={**RETRY, "max_failures": 1})["id"]
    for n in range(4):
        hand = api.claim(job_id)
        hand.checkpoint(10 * n + 10, trained_seconds=FORGIVEN_AFTER)
        hand.finish("failed", reason="process_died", message=f"death {n}")
        assert api.job(job_id)["status"] == "recovering"
    api.claim(job_id).finish("failed", reason="process_died", message="the last")
    job = api.job(job_id)
    assert (job["status"], job["reason"], job["failures"]) == ("failed", "too_many_failures", 5)
    assert job["message"].startswith("failed 2 times (max_failures is 1)")


def test_backoff_starts_anew_after_a_long_run(api: Api) -> None:
    job_id = api.submit(retry={**RETRY, "backoff": "10s"})["id"]
    waits = []
    for seconds in (0.0, 0.0, 0.0, FORGIVEN_AFTER):
        hand = api.claim(job_id)
        hand.checkpoint(hand.grant["attempt"], trained_seconds=seconds)
        hand.finish("failed", reason="process_died")
        waits.append(api.items(job_id, "events")[-1]["data"]["after"])
        with api.services.database.write() as session:
            session.execute(update(Attempt).values(not_before=Attempt.created_at))
    assert 5 <= waits[0] <= 10 <= waits[1] <= 20 <= waits[2] <= 40
    assert 5 <= waits[3] <= 10


def test_a_store_that_is_away_costs_no_budget(api: Api) -> None:
    retry = {"max_failures": 0, "max_attempts_without_progress": 1, "backoff": 0}
    job_id = api.submit(retry=retry)["id"]
    for phase in ("restoring", "training", "starting", "restoring"):
        hand = api.claim(job_id)
        hand.finish("failed", reason="store_unavailable", message="the bucket is away", phase=phase)
        assert api.job(job_id)["status"] == "recovering"
    hand = api.claim(job_id)
    hand.finish("failed", reason="store_refused", message="no permission")
    assert (api.job(job_id)["status"], api.job(job_id)["failures"]) == ("failed", 5)


@pytest.mark.parametrize(("outcome", "reason"), [("preempted", None), ("failed", "process_died"), ("lost", None)])
def test_every_end_without_progress_counts(api: Api, outcome: str, reason: str | None) -> None:
    job_id = api.submit(retry={**RETRY, "max_attempts_without_progress": 3})["id"]
    for _ in range(3):
        hand = api.claim(job_id)
        if outcome == "lost":
            api.let_lease_run_out(hand.attempt_id)
            api.conduct()
        else:
            hand.finish(outcome, reason=reason)
    job = api.job(job_id)
    assert (job["status"], job["reason"]) == ("failed", "no_progress")


def test_a_finish_that_cannot_be(api: Api) -> None:
    hand = api.running()
    assert_problem(hand.finish("failed", at_step=-1), 422, "invalid-request")
    assert_problem(hand.finish("failed", fault="x" * 501), 422, "invalid-request")
