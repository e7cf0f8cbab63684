"""`limits.max_runtime` pauses a job, with or without its worker.

A stalled attempt is retried, on another worker first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from baton.domain.reasons import Reason
from baton.domain.retry_policy import PASSED_OVER_SECONDS
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem, eventually
from tests.service.limited_jobs import claim, held_for, running

pytestmark = ON_BOTH


def test_a_grant_says_how_much_is_left_and_the_queue_and_pauses_do_not_count(api: Api) -> None:
    first = running(api)
    assert first.grant["runtime_left"] == pytest.approx(600, abs=60)
    held_for(api, first, 250)
    api.ask(first.job_id, "pause")
    first.finish("paused")
    api.ask(first.job_id, "resume")
    second = claim(api, first.job_id, "w2")
    assert second.grant["runtime_left"] == pytest.approx(350, abs=60)
    assert claim(api, first.job_id, "w2").grant["runtime_left"] <= second.grant["runtime_left"]


def test_without_the_limit_a_grant_names_none(api: Api) -> None:
    assert api.running().grant["runtime_left"] is None


OVER = "workers held the job for 600 s, which is its limit (limits.max_runtime)"


def test_a_worker_that_ends_it_in_time_pauses_the_job(api: Api) -> None:
    hand = running(api)
    hand.checkpoint(7)
    assert hand.finish("failed", reason="max_runtime", message="enough").status_code == 200
    job, attempt = api.job(hand.job_id), api.attempt(hand.job_id)
    assert (job["status"], job["reason"], job["message"]) == ("paused", "max_runtime", OVER)
    assert (job["failures"], job["checkpoint"]["global_step"]) == (0, 7)
    assert (attempt["state"], attempt["reason"], attempt["message"]) == ("paused", "max_runtime", "enough")


def test_an_attempt_that_ends_beyond_the_limit_is_the_last(api: Api) -> None:
    hand = running(api)
    held_for(api, hand, 601)
    hand.finish("preempted")
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"], job["message"]) == ("paused", "max_runtime", OVER)


def test_it_goes_on_only_after_the_limit_was_raised(api: Api) -> None:
    hand = running(api)
    held_for(api, hand, 601)
    hand.finish("preempted")
    refused = assert_problem(api.ask(hand.job_id, "resume"), 409, "conflict")["detail"]
    command = f"baton edit {hand.job_id} --set limits.max_runtime=..."
    assert refused == f"{OVER}: raise limits.max_runtime first, e.g. `{command}`"
    assert api.http.patch(f"/v1/jobs/{hand.job_id}", json={"limits": {"max_runtime": "15m"}}).status_code == 200
    assert api.ask(hand.job_id, "resume").status_code == 202
    assert claim(api, hand.job_id, "w2").grant["runtime_left"] == pytest.approx(300, abs=60)


def test_the_service_pauses_it_where_the_worker_does_not(api: Api) -> None:
    hand = running(api)
    held_for(api, hand, 615)  # the grace period is that of a cancellation
    api.conduct()
    assert api.job(hand.job_id)["status"] == "running"
    held_for(api, hand, 621)
    api.conduct()
    job, attempt = api.job(hand.job_id), api.attempt(hand.job_id)
    assert (job["status"], job["reason"]) == ("paused", "max_runtime")
    assert (attempt["state"], attempt["reason"]) == ("paused", "max_runtime")
    assert attempt["message"] == f"{OVER}; worker w1 did not end within 20 s: its attempt was ended"
    assert [event["actor"] for event in api.items(hand.job_id, "events")[-2:]] == ["conductor", "conductor"]
    for answer in (hand.beat(), hand.checkpoint(500), hand.finish("succeeded")):
        assert_problem(answer, 409, "lease-lost")


def test_a_limit_that_is_lowered_below_what_was_used_pauses_the_job(api: Api) -> None:
    hand = running(api)
    held_for(api, hand, 300)
    assert api.http.patch(f"/v1/jobs/{hand.job_id}", json={"limits": {"max_runtime": "4m"}}).status_code == 200
    api.conduct()
    assert hand.beat().json()["directive"] == "pause"  # the worker knows the old limit, and gets time to save
    hand.finish("paused")
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"]) == ("paused", "max_runtime")
    # A job that waits is paused by the change itself.
    for limit, status in (("1h", "queued"), ("4m", "paused")):
        assert api.http.patch(f"/v1/jobs/{hand.job_id}", json={"limits": {"max_runtime": limit}}).status_code == 200
        api.ask(hand.job_id, "resume")
        assert api.job(hand.job_id)["status"] == status
    assert api.job(hand.job_id)["reason"] == "max_runtime"


def test_a_stall_is_tried_again_elsewhere_first_and_a_single_worker_gets_it_later(api: Api) -> None:
    hand = api.running("w1", retry={"backoff": 0})
    hand.checkpoint(5)
    assert hand.finish("failed", reason="stalled", message="no progress for 900 s").status_code == 200
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"]) == ("recovering", "stalled")
    again = WorkerHand(api, api.attempt(hand.job_id)["id"], hand.job_id, "w1")
    assert "ended there with stalled" in assert_problem(again.claim(), 409, "passed-over")["detail"]
    ended = api.items(hand.job_id, "attempts")[-2]
    api.set_attempt(ended["id"], finished_at=datetime.now(UTC) - timedelta(seconds=PASSED_OVER_SECONDS + 1))
    eventually(lambda: again.claim().status_code == 200)  # it is offered again after a moment


def test_stalls_again_and_again_end_the_job(api: Api) -> None:
    job_id = api.submit(retry={"backoff": 0, "max_failures": 2})["id"]
    for name in ("w1", "w2", "w3"):
        hand = api.claim(job_id, name)
        hand.beat("training")
        hand.finish("failed", reason="stalled", message="no progress for 900 s")
    job = api.job(job_id)
    assert (job["status"], job["reason"]) == ("failed", Reason.TOO_MANY_FAILURES)
    assert "no progress for 900 s" in job["message"]
