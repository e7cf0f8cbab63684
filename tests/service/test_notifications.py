"""Notifications by Apprise: their content, their time, their number, and the effect of an unreachable endpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.service.helpers import ON_BOTH, Api, assert_problem, eventually
from tests.service.limited_jobs import claim, held_for, running
from tests.service.notification_checks import end, rows
from tests.support.listener import Listener

pytestmark = ON_BOTH

RETRY = {"max_failures": 100, "max_attempts_without_progress": 100, "backoff": 0}


AT_STEP = {
    "stage": 1, "stages": 2, "epoch": 2, "epochs": 3, "step": 5, "steps": 10, "global_step": 15, "total_steps": 30
}  # fmt: skip


@pytest.fixture
def api(notifying: Callable[..., Api]) -> Api:
    return notifying()


def interrupt(api: Api, job_id: str, times: int) -> None:
    for _ in range(times):
        hand = api.claim(job_id)
        hand.beat("training")
        assert hand.finish("preempted").status_code == 200


def test_a_job_that_succeeded_is_told_with_all_that_one_wants_to_know(
    notifying: Callable[..., Api], listener: Listener
) -> None:
    api = notifying(public_url="https://baton.example.org/")
    hand = api.running()
    best = {"metric": "val_accuracy", "value": 0.625, "stage": 1, "epoch": 2}
    assert hand.epoch(1, 1, 1, best=best).status_code == 200
    hand.beat("training", progress=AT_STEP)
    hand.finish("succeeded")
    assert listener.posts == []  # no request waits for the sending
    api.conduct()
    (post,) = listener.posts
    assert (post["title"], post["type"]) == ("Baton: small succeeded", "success")
    lines = post["message"].splitlines()
    assert lines[0] == f"Job small ({hand.job_id[:8]}) succeeded."
    assert lines[1:3] == ["Stage 1 of 2, epoch 2 of 3, step 15 of 30", "Best: val_accuracy 0.625 in epoch 2"]
    assert lines[3].startswith("Duration: 0 min ")
    assert lines[4:] == [
        "Attempts: 1, preemptions: 0, failures: 0",
        f"https://baton.example.org/jobs/{hand.job_id}",
    ]
    api.conduct()
    assert len(listener.posts) == 1
    assert rows(api) == [("succeeded", 0, "ops", "sent", 1)]


def test_a_job_that_failed_is_told_with_its_reason_and_calls_nobody(api: Api, listener: Listener) -> None:
    hand = api.running(retry={**RETRY, "max_failures": 0})
    hand.finish("failed", message="ValueError: <b>@everyone</b> <!channel>\u202e\x1b[31m\n" + "x" * 5000 + " the end")
    api.conduct()
    (post,) = listener.posts
    assert (post["title"], post["type"]) == ("Baton: small failed", "failure")
    assert "Reason: too_many_failures" in post["message"]
    assert "@\u200beveryone</b> <\u200b!channel> \ufffd[31m\n" in post["message"]
    assert " the end\n" in post["message"]
    assert len(post["message"]) < 2500


def test_a_job_that_reached_a_limit_is_told_each_time(api: Api, listener: Listener) -> None:
    hand = running(api)
    hand.finish("failed", reason="max_runtime")
    api.http.patch(f"/v1/jobs/{hand.job_id}", json={"limits": {"max_runtime": "1s"}})
    assert api.ask(hand.job_id, "resume").status_code == 202
    again = claim(api, hand.job_id)
    held_for(api, again, 2)
    again.finish("failed", reason="max_runtime")
    api.conduct()
    assert listener.titles == ["Baton: small has reached a limit and is paused"] * 2
    assert "Reason: max_runtime" in listener.posts[0]["message"]


def test_a_lost_lease_in_the_conductor_is_told_too(api: Api, listener: Listener) -> None:
    hand = api.running(retry={**RETRY, "max_attempts_without_progress": 1})
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    eventually(lambda: listener.titles == ["Baton: small failed"])


def test_recovering_is_told_first_above_the_limit_and_then_as_it_doubles(api: Api, listener: Listener) -> None:
    job = api.submit(retry=RETRY)["id"]
    interrupt(api, job, 3)
    api.conduct()
    assert listener.posts == []
    interrupt(api, job, 5)
    api.conduct()
    assert [post["message"].splitlines()[0] for post in listener.posts] == [
        f"Job small ({job[:8]}) is recovering from interruption {count}." for count in (4, 8)
    ]
    assert listener.posts[0]["type"] == "warning"
    assert "Reason: preempted" in listener.posts[0]["message"]
    assert [row[:2] for row in rows(api)] == [("recovering", 4), ("recovering", 8)]


def test_a_spec_says_whom_and_of_what(notifying: Callable[..., Api], listener: Listener) -> None:
    urls = f"ops={listener.url('ops')}, {listener.url('me')}\n# nobody\nml={listener.url('ml')}"
    api = notifying(notify_urls=urls, notify_targets="default", notify_recoveries=0)
    job = api.submit(
        notify={"targets": ["ml", "ops"], "when": ["cancelled", "recovering"], "recoveries": 1}, retry=RETRY
    )
    interrupt(api, job["id"], 2)
    api.ask(job["id"], "cancel")
    end(api, notify={"targets": []})
    end(api, notify={"when": []})
    end(api, notify={"when": ["failed"]})
    end(api)
    assert [row[:3] for row in rows(api)] == [
        ("recovering", 2, "ml"),
        ("recovering", 2, "ops"),
        ("cancelled", 3, "ml"),
        ("cancelled", 3, "ops"),
        ("succeeded", 0, "default"),
    ]
    api.conduct()
    assert sorted(listener.paths) == ["/me", "/ml", "/ml", "/ops", "/ops"]


def test_a_second_end_after_a_retry_is_told_too(api: Api) -> None:
    job_id = end(api, "failed", retry={**RETRY, "max_failures": 0})
    for outcome in ("failed", "succeeded"):
        assert api.ask(job_id, "retry").status_code == 202
        assert api.claim(job_id).finish(outcome).status_code == 200
    assert [row[:2] for row in rows(api)] == [("failed", 1), ("failed", 2), ("succeeded", 0)]


def test_a_service_without_targets_writes_nothing(start: Callable[..., Api]) -> None:
    api = start()
    end(api)
    api.conduct()
    assert rows(api) == []
    assert api.http.get("/v1/notifications/targets").json()["items"] == []
    assert api.http.post("/v1/notifications:test", json={}).json()["items"] == []


def test_a_target_that_there_is_not_is_refused_with_those_that_are(api: Api) -> None:
    body = {"name": "small", "notify": {"targets": ["ops", "nonesuch"]}}
    spec = {**api.job(api.submit()["id"])["spec"], **body}
    for path in ("/v1/jobs", "/v1/plans:preview"):
        problem = assert_problem(api.http.post(path, json=spec), 422, "invalid-spec")
        assert problem["errors"] == [{"field": "notify.targets.1", "message": "unknown target 'nonesuch'; known: ops"}]
    url = api.http.post("/v1/jobs", json={**spec, "notify": {"targets": ["json://here/"]}})
    assert assert_problem(url, 422, "invalid-spec")["errors"][0]["field"] == "notify.targets.0"
