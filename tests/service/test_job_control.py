"""Pause, resume and cancel in every state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.service.helpers import Api, WorkerHand, assert_problem, timeless


def queued(api: Api) -> str:
    return str(api.submit()["id"])


def running(api: Api) -> str:
    return api.running().job_id


def recovering(api: Api) -> str:
    hand = api.running()
    hand.finish("preempted")
    return hand.job_id


def asked(state: Callable[[Api], str], wish: str) -> Callable[[Api], str]:
    def make(api: Api) -> str:
        job_id = state(api)
        assert api.ask(job_id, wish).status_code == 202
        return job_id

    return make


def succeeded(api: Api) -> str:
    hand = api.running()
    hand.finish("succeeded")
    return hand.job_id


def failed(api: Api) -> str:
    hand = api.running()
    hand.finish("failed", reason="bad_data")
    return hand.job_id


STATES = {
    "queued": queued,
    "running": running,
    "recovering": recovering,
    "pausing": asked(running, "pause"),
    "paused": asked(queued, "pause"),
    "cancelling": asked(running, "cancel"),
    "cancelled": asked(queued, "cancel"),
    "succeeded": succeeded,
    "failed": failed,
}
# State -> the state after each request. None: the request gets 409.
AFTER = {
    "queued": {"pause": "paused", "resume": None, "cancel": "cancelled"},
    "running": {"pause": "pausing", "resume": None, "cancel": "cancelling"},
    "recovering": {"pause": "paused", "resume": None, "cancel": "cancelled"},
    "pausing": {"pause": "pausing", "resume": "running", "cancel": "cancelling"},
    "paused": {"pause": None, "resume": "queued", "cancel": "cancelled"},
    "cancelling": {"pause": None, "resume": None, "cancel": "cancelling"},
    "cancelled": {"pause": None, "resume": None, "cancel": None},
    "succeeded": {"pause": None, "resume": None, "cancel": None},
    "failed": {"pause": None, "resume": None, "cancel": None},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("wish", ["pause", "resume", "cancel"])
def test_every_wish_in_every_state(api: Api, state: str, wish: str) -> None:
    job_id = STATES[state](api)
    before = api.job(job_id)
    assert before["status"] == state
    answer = api.ask(job_id, wish)
    expected = AFTER[state][wish]
    if expected is None:
        assert_problem(answer, 409, "conflict")
        assert timeless(api.job(job_id)) == timeless(before)
    else:
        assert answer.status_code == 202
        assert answer.json()["status"] == expected
        assert timeless(answer.json()) == timeless(api.job(job_id))
    api.kinds(job_id)


@pytest.mark.parametrize("wish", ["pause", "resume", "cancel"])
def test_a_job_that_never_was(api: Api, wish: str) -> None:
    assert_problem(api.ask("0" * 32, wish), 404, "not-found")


@pytest.mark.parametrize(("wish", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_an_unclaimed_attempt_ends_with_its_job(api: Api, wish: str, state: str) -> None:
    job_id = queued(api)
    hand = WorkerHand(api, api.attempt(job_id)["id"], job_id)
    api.conduct()
    api.ask(job_id, wish)
    assert api.attempt(job_id)["state"] == state
    assert_problem(hand.claim(), 409, "conflict")  # the message is still in Redis and has no effect


def test_a_resumed_job_goes_on_from_its_checkpoint(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    hand.checkpoint(7)
    hand.finish("paused")
    assert api.job(hand.job_id)["reason"] == "paused"
    assert api.ask(hand.job_id, "resume").json()["status"] == "queued"
    successor = api.claim(hand.job_id)
    assert successor.grant["checkpoints"][0]["position"]["global_step"] == 7
    assert api.job(hand.job_id)["reason"] is None
    assert (api.job(hand.job_id)["preemptions"], api.job(hand.job_id)["failures"]) == (0, 0)


def test_a_resumed_pause_lets_the_worker_go_on(api: Api) -> None:
    hand = api.running()
    api.ask(hand.job_id, "pause")
    assert hand.beat().json()["directive"] == "pause"
    api.ask(hand.job_id, "resume")
    assert hand.beat().json()["directive"] == "continue"


def test_the_log_says_who_asked(api: Api) -> None:
    job_id = queued(api)
    api.ask(job_id, "pause")
    api.ask(job_id, "resume")
    api.ask(job_id, "cancel")
    events = [(event["kind"], event["actor"]) for event in api.items(job_id, "events")]
    assert events[2:] == [
        ("pause_requested", "user"),
        ("attempt_paused", "user"),
        ("paused", "user"),
        ("resumed", "user"),
        ("queued", "user"),
        ("cancel_requested", "user"),
        ("attempt_cancelled", "user"),
        ("cancelled", "user"),
    ]
    assert api.job(job_id)["message"] == "cancelled by its owner"
