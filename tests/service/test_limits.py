"""Limits by queue and label: which attempts are sent, which claims are granted, and what a waiting job reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.db.types import db_now
from service.settings import SettingsError, load_settings
from service.usecases import leases
from tests.service.clock import MovedClock
from tests.service.dispatched import listed
from tests.service.helpers import Api, WorkerHand, assert_problem, worker_info
from tests.support.redis import RedisServer

QUEUE = "rq:queue:baton:default:normal"


@pytest.fixture
def limited(start: Callable[..., Api], redis_server: RedisServer) -> Iterator[Callable[..., Api]]:
    """A function that starts a service with limits."""

    def make(queues: dict[str, int] | None = None, labels: dict[str, int] | None = None) -> Api:
        redis_server.client().flushall()
        return start(queue_limits=queues or {}, label_limits=labels or {})

    yield make


def hand(api: Api, job_id: str, name: str = "w1") -> WorkerHand:
    return WorkerHand(api, api.attempt(job_id)["id"], job_id, name)


def test_no_more_is_sent_than_a_queue_has_places(limited: Callable[..., Api], redis_server: RedisServer) -> None:
    api = limited({"default": 2})
    jobs = [api.submit()["id"] for _ in range(4)]
    other = api.submit(queue="other")["id"]
    for _ in range(2):
        api.conduct()
        assert listed(redis_server) == [api.attempt(job)["id"] for job in jobs[:2]]
    assert api.kinds(other)[-1] == "dispatched"
    first = api.claim(jobs[0])
    api.claim(jobs[1])
    redis_server.client().delete(QUEUE)
    api.conduct()
    assert listed(redis_server) == []
    assert "queue default is at its limit of 2" in api.job(jobs[2])["waiting_for"]
    first.finish("succeeded")
    api.conduct()
    assert listed(redis_server) == [api.attempt(jobs[2])["id"]]
    assert api.job(jobs[3])["waiting_for"].startswith("a worker")


def test_labels_have_limits_of_their_own(limited: Callable[..., Api]) -> None:
    api = limited(labels={"team:vision": 2, "user:*": 1})
    ada, bob = {"team": "vision", "user": "ada"}, {"team": "vision", "user": "bob"}
    jobs = [api.submit(labels=labels)["id"] for labels in (ada, ada, bob, {**bob, "user": "cy"}, {"team": "text"}, {})]
    api.conduct()
    sent = [api.kinds(job)[-1] == "dispatched" for job in jobs]
    assert sent == [True, False, True, False, True, True]
    for job in (jobs[0], jobs[2]):
        api.claim(job)
    assert "label team:vision is at its limit of 2" in api.job(jobs[3])["waiting_for"]
    refused = assert_problem(hand(api, jobs[1]).claim(), 409, "limit-reached")
    assert "limit" in refused["detail"]
    api.claim(jobs[4])


def test_a_refused_claim_is_sent_again_when_a_place_is_free_and_not_before(
    limited: Callable[..., Api], redis_server: RedisServer
) -> None:
    api = limited({"default": 1})
    first, second = (api.submit()["id"] for _ in range(2))
    holder = api.claim(first)
    late = hand(api, second, "w2")
    assert_problem(late.claim(), 409, "limit-reached")
    for _ in range(5):
        api.conduct()
    assert "dispatched" not in api.kinds(second)
    holder.beat("training")
    holder.finish("succeeded")
    for _ in range(3):
        api.conduct()
    assert listed(redis_server) == [late.attempt_id]
    assert api.kinds(second).count("dispatched") == 1
    assert late.claim().status_code == 200


def test_a_message_used_up_by_a_refused_claim_is_sent_in_the_next_pass(
    limited: Callable[..., Api], redis_server: RedisServer
) -> None:
    api = limited({"default": 1})
    second = api.submit(priority="low")["id"]
    api.conduct()
    holder = api.claim(api.submit()["id"])  # claimed before the attempt that was sent first
    late = hand(api, second, "w2")
    redis_server.client().lpop("rq:queue:baton:default:low")  # RQ keeps its record of the message
    assert_problem(late.claim(), 409, "limit-reached")
    holder.finish("succeeded")
    api.conduct()
    assert listed(redis_server, "baton:default:low") == [late.attempt_id]


@pytest.mark.parametrize("end", ["preempted", "lost", "cancelled"])
def test_every_end_frees_the_place(limited: Callable[..., Api], end: str) -> None:
    api = limited({"default": 1})
    holder, second = api.claim(api.submit()["id"]), api.submit()["id"]
    holder.beat("stopping")
    assert_problem(hand(api, second).claim(), 409, "limit-reached")  # an attempt that is stopping still counts
    assert holder.claim().status_code == 200  # the holder repeats its claim
    if end == "lost":
        api.let_lease_run_out(holder.attempt_id)
        api.conduct()
    elif end == "cancelled":
        api.ask(holder.job_id, "cancel")
        holder.finish("cancelled")
    else:
        holder.finish(end)
    assert hand(api, second).claim().status_code == 200


def test_one_of_many_racing_claims_gets_the_last_place(limited: Callable[..., Api]) -> None:
    api = limited({"default": 1})
    hands = [hand(api, api.submit()["id"], f"w{n}") for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(WorkerHand.claim, hands))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
    codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"limit-reached"}


def test_the_lease_begins_after_the_wait_for_other_claims(
    limited: Callable[..., Api], clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = limited({"default": 1})
    claimed = hand(api, api.submit()["id"])
    monkeypatch.setattr(leases, "full", lambda *_: clock.forward(20))
    assert claimed.claim().status_code == 200
    expires = datetime.fromisoformat(api.attempt(claimed.job_id)["lease_expires_at"])
    assert expires == clock.now + timedelta(seconds=30)


def test_claims_that_need_several_places_do_not_wait_for_each_other(limited: Callable[..., Api]) -> None:
    api = limited({"default": 9, "other": 9}, {"a:*": 3, "b:*": 3})
    pairs: list[dict[str, str]] = [{"a": "x", "b": "y"}, {"b": "y", "a": "x"}]
    hands = [
        hand(api, api.submit(labels=pairs[n % 2], queue=("default", "other")[n % 3 == 0])["id"], f"w{n}")
        for n in range(12)
    ]
    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(WorkerHand.claim, hands))
    assert statuses == [200] * 3 + [409] * 9


def test_a_limit_of_none_closes_a_queue(limited: Callable[..., Api], redis_server: RedisServer) -> None:
    api = limited({"default": 0})
    job = api.submit()["id"]
    api.conduct()
    assert listed(redis_server) == []
    assert_problem(hand(api, job).claim(), 409, "limit-reached")
    assert "limit of 0" in api.job(job)["waiting_for"]


def test_the_free_place_goes_to_the_most_urgent(limited: Callable[..., Api]) -> None:
    api = limited({"default": 1})
    holder = api.claim(api.submit()["id"])
    low, normal, high = (api.submit(priority=name)["id"] for name in ("low", "normal", "high"))
    for expected in (high, normal, low):
        holder.finish("succeeded")
        api.conduct()
        sent = [job for job in (low, normal, high) if api.kinds(job)[-1] == "dispatched"]
        assert sent == [expected]
        holder = api.claim(expected)


def test_a_job_that_ran_before_comes_first(limited: Callable[..., Api], redis_server: RedisServer) -> None:
    api = limited()
    older, newer = api.claim(api.submit()["id"]), api.claim(api.submit()["id"])
    fresh = api.submit()["id"]
    api.conduct()
    newer.finish("preempted")
    older.finish("preempted")
    api.conduct()
    expected = [api.attempt(job)["id"] for job in (older.job_id, newer.job_id, fresh)]
    assert listed(redis_server) == expected
    redis_server.client().flushall()
    for attempt_id in expected:
        api.set_attempt(attempt_id, dispatched_at=None)
    api.conduct()
    assert listed(redis_server) == expected


def test_a_job_says_what_it_waits_for(api: Api) -> None:
    job = api.submit(retry={"backoff": "40s"})["id"]
    assert api.job(job)["waiting_for"] == "a worker: none for queue default was seen within the last 2 min"
    tag = api.http.get(f"/v1/jobs/{job}").headers["etag"]
    api.http.post("/v1/workers", json={**worker_info(), "queues": ["default"]})
    assert api.job(job)["waiting_for"] == "a worker of queue default"
    seen = api.http.get(f"/v1/jobs/{job}", headers={"If-None-Match": tag})
    assert seen.status_code == 200  # the version is the same, but the reason for waiting has changed
    worker = api.claim(job)
    assert api.job(job)["waiting_for"] is None
    worker.finish("failed")
    assert "backoff" in api.job(job)["waiting_for"]
    api.set_attempt(api.attempt(job)["id"], not_before=db_now())
    assert api.job(job)["waiting_for"] == "a worker of queue default"
    assert api.http.get("/v1/jobs").json()["items"][0]["waiting_for"] == "a worker of queue default"
    api.ask(job, "pause")
    assert api.job(job)["waiting_for"] is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BATON_QUEUE_LIMITS", "{default: 4}", "is not valid JSON"),
        ("BATON_QUEUE_LIMITS", "[4]", "dictionary"),
        ("BATON_QUEUE_LIMITS", '{"default": -1}', "default: "),
        ("BATON_QUEUE_LIMITS", '{"default": "4"}', "default: "),
        ("BATON_QUEUE_LIMITS", '{"No Queue": 4}', "'No Queue', which is not a valid queue name"),
        ("BATON_LABEL_LIMITS", '{"team": 4}', "'team', which is neither key:value nor key:*"),
        ("BATON_LABEL_LIMITS", '{"*:*": 4}', "'*:*'"),
        ("BATON_LABEL_LIMITS", '{"team:a:b": 4}', "'team:a:b'"),
    ],
)
def test_settings_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv("BATON_TOKEN", "a-long-token")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert words in text
    assert "as JSON, e.g." in text


def test_settings_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_TOKEN", "a-long-token")
    monkeypatch.setenv("BATON_QUEUE_LIMITS", '{"default": 4}')
    monkeypatch.setenv("BATON_LABEL_LIMITS", '{"team:vision": 2, "user:*": 0}')
    found: dict[str, Any] = {"queues": {"default": 4}, "labels": {"team:vision": 2, "user:*": 0}}
    limits = load_settings().limits
    assert {"queues": limits.queues, "labels": limits.labels} == found
