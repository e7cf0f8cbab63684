"""Pause, resume and cancel in each state of a job and its attempt, and each way in which the attempt can end
afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.service.dispatched import listed
from tests.service.helpers import Api, WorkerHand, assert_problem, timeless
from tests.support.redis import RedisServer

RETRY = {"max_failures": 100, "max_attempts_without_progress": 100}


def starting(api: Api) -> WorkerHand:
    return api.claim(api.submit(retry=RETRY)["id"])


def running(api: Api) -> WorkerHand:
    hand = starting(api)
    hand.beat("training")
    return hand


def successor(api: Api) -> WorkerHand:
    """Attempt 2 of a job. It is claimed and does not train yet."""
    hand = running(api)
    hand.finish("preempted")
    return api.claim(hand.job_id, "w2")


def stopping(made: Callable[[Api], WorkerHand]) -> Callable[[Api], WorkerHand]:
    def make(api: Api) -> WorkerHand:
        hand = made(api)
        hand.beat("stopping")
        return hand

    return make


# An attempt that a worker holds: how to get there, the state of the job, the state of the attempt.
HELD: dict[str, tuple[Callable[[Api], WorkerHand], str, str]] = {
    "running/starting": (starting, "running", "starting"),
    "running/running": (running, "running", "running"),
    "running/stopping": (stopping(running), "running", "stopping"),
    "starting/stopping": (stopping(starting), "running", "stopping"),
    "recovering/starting": (successor, "recovering", "starting"),
    "recovering/stopping": (stopping(successor), "recovering", "stopping"),
}
WISHES: dict[str, tuple[str, ...]] = {
    "run": (),
    "pause": ("pause",),
    "run again": ("pause", "resume"),
    "cancel": ("cancel",),
    "cancel after pause": ("pause", "cancel"),
}
DIRECTIVES = {
    "run": "continue",
    "pause": "pause",
    "run again": "continue",
    "cancel": "cancel",
    "cancel after pause": "cancel",
}
ON_RUN = {"preempted": "recovering", "failed": "recovering", "lost": "recovering", "paused": "queued"}
ON_PAUSE = dict.fromkeys(ON_RUN, "paused")
ON_CANCEL = {**dict.fromkeys(ON_RUN, "cancelled"), "cancelled": "cancelled"}
# What the owner wants -> how the attempt ends -> the state of the job afterwards.
THEN = {"run": ON_RUN, "pause": ON_PAUSE, "cancel": ON_CANCEL}


def hold(api: Api, name: str, wish: str) -> WorkerHand:
    make, job_state, attempt_state = HELD[name]
    hand = make(api)
    assert (api.job(hand.job_id)["status"], api.attempt(hand.job_id)["state"]) == (job_state, attempt_state)
    for one in WISHES[wish]:
        assert api.ask(hand.job_id, one).status_code == 202
    return hand


def end(hand: WorkerHand, how: str) -> None:
    if how == "lost":
        hand.api.let_lease_run_out(hand.attempt_id)
        hand.api.conduct()
    else:
        answer = hand.finish(how)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("wish", THEN)
@pytest.mark.parametrize("how", ["preempted", "failed", "lost", "paused", "succeeded"])
def test_every_end_of_a_held_attempt(api: Api, wish: str, how: str) -> None:
    expected = "succeeded" if how == "succeeded" else THEN[wish][how]
    for name in ("running/running", "recovering/stopping"):
        hand = hold(api, name, wish)
        end(hand, how)
        job, attempts = api.job(hand.job_id), api.items(hand.job_id, "attempts")
        assert (job["status"], job["worker"]) == (expected, None), name
        live = [a["state"] for a in attempts if a["state"] in ("queued", "starting", "running", "stopping")]
        assert live == (["queued"] if expected in ("recovering", "queued") else []), name
        api.kinds(hand.job_id)
        api.conduct()
        assert live or timeless(api.job(hand.job_id)) == timeless(job), name  # a further pass changes nothing


@pytest.mark.parametrize("wish", THEN)
def test_an_attempt_ends_as_cancelled_only_if_its_owner_asked(api: Api, wish: str) -> None:
    for name in HELD:
        hand = hold(api, name, wish)
        if THEN[wish] is ON_CANCEL:
            end(hand, "cancelled")
            assert api.job(hand.job_id)["status"] == "cancelled", name
        else:
            assert_problem(hand.finish("cancelled"), 409, "conflict")


@pytest.mark.parametrize("wish", WISHES)
def test_a_held_attempt_is_told(api: Api, wish: str) -> None:
    for name, (_, job_state, _) in HELD.items():
        hand = hold(api, name, wish)
        told = hand.beat("stopping" if "stopping" in name else "restoring").json()["directive"]
        assert told == DIRECTIVES[wish], name
        status = {"continue": job_state, "pause": "pausing", "cancel": "cancelling"}[told]
        assert api.job(hand.job_id)["status"] == status, name
        if wish == "run again":
            end(hand, "paused")  # the pause was withdrawn too late
            assert api.job(hand.job_id)["status"] == "queued", name


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_the_same_wish_again_changes_nothing(api: Api, wish: str) -> None:
    for name in HELD:
        hand = hold(api, name, wish)
        before = timeless(api.job(hand.job_id))
        answer = api.ask(hand.job_id, wish)
        assert (answer.status_code, timeless(answer.json())) == (202, before), name
        for refused in ("pause", "resume") if wish == "cancel" else ():
            assert_problem(api.ask(hand.job_id, refused), 409, "conflict")


def waiting(api: Api) -> str:
    return str(api.submit(retry=RETRY)["id"])


def sent(api: Api) -> str:
    job_id = waiting(api)
    api.conduct()
    return job_id


def preempted(api: Api) -> str:
    hand = running(api)
    hand.finish("preempted")
    return hand.job_id


def backing_off(api: Api) -> str:
    hand = running(api)
    hand.finish("failed")
    assert "backoff" in api.job(hand.job_id)["waiting_for"]
    return hand.job_id


FREE = {"queued": waiting, "sent": sent, "recovering": preempted, "backing off": backing_off}


@pytest.mark.parametrize("state", FREE)
def test_an_unclaimed_attempt_is_paused_or_cancelled_immediately(
    api: Api, redis_server: RedisServer, state: str
) -> None:
    job_id = FREE[state](api)
    waited = api.attempt(job_id)
    assert_problem(api.ask(job_id, "resume"), 409, "conflict")
    assert api.ask(job_id, "pause").json()["status"] == "paused"
    assert api.attempt(job_id)["state"] == "paused"
    assert api.ask(job_id, "resume").json()["status"] == "queued"
    queued = api.attempt(job_id)
    assert queued["attempt"] == waited["attempt"] + 1
    api.conduct()
    assert queued["id"] in listed(redis_server)  # a job that its owner resumes does not wait for the backoff
    assert_problem(WorkerHand(api, waited["id"], job_id).claim(), 409, "conflict")
    assert api.ask(job_id, "cancel").json()["status"] == "cancelled"
    assert api.attempt(job_id)["state"] == "cancelled"
    assert_problem(WorkerHand(api, queued["id"], job_id).claim(), 409, "conflict")
    for wish in ("pause", "resume", "cancel"):
        assert_problem(api.ask(job_id, wish), 409, "conflict")
