"""What the reconciler does: leases, messages, repairs, publishing and garbage collection, also when Redis, the store or
the database fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import update

from baton.domain.queues import FUNCTION, rq_queue, rq_queues
from baton.storage import StoreUnavailable
from service.api.readiness import check_store
from service.db.tables import Job
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.reconciler import dispatch, enforcement
from service.reconciler.rq_dispatch import RqMessages
from service.usecases.attempt_limits import Limits
from tests.service.dispatched import dispatched_long_ago, listed
from tests.service.helpers import Api, eventually
from tests.support.redis import RedisServer, running_redis
from worker.supervisor.rq_source import listen


def test_a_lease_ends_at_its_second_and_not_before(api: Api) -> None:
    hand = api.running()
    with api.services.database.read() as session:
        now = Unit(session).now()
    api.set_attempt(hand.attempt_id, lease_expires_at=now + timedelta(milliseconds=400))
    api.conduct()
    with api.services.database.read() as session:
        early = Unit(session).now() < now + timedelta(milliseconds=400)
    assert not early or api.attempt(hand.job_id)["state"] == "running"

    def passed() -> bool:
        with api.services.database.read() as session:
            return Unit(session).now() >= now + timedelta(milliseconds=400)

    eventually(passed)
    api.conduct()
    attempts = api.items(hand.job_id, "attempts")
    assert [(a["state"], a["reason"]) for a in attempts] == [("lost", "lease_expired"), ("queued", None)]
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"], job["preemptions"], job["failures"]) == ("recovering", "lease_expired", 1, 0)
    lost = next(e for e in api.items(hand.job_id, "events") if e["kind"] == "attempt_lost")
    assert (lost["actor"], lost["data"]["fence"]) == ("conductor", 1)


def test_lost_attempts_without_progress_end_the_job(api: Api) -> None:
    job_id = api.submit(retry={"max_attempts_without_progress": 2})["id"]
    for _ in range(2):
        api.let_lease_run_out(api.claim(job_id).attempt_id)
        api.conduct()
    assert (api.job(job_id)["status"], api.job(job_id)["reason"]) == ("failed", "no_progress")


def test_a_message_carries_an_attempt_id_in_json_and_nothing_else(api: Api, redis_server: RedisServer) -> None:
    job = api.submit(queue="gpu", priority="high")
    attempt_id = api.attempt(job["id"])["id"]
    api.conduct()
    assert listed(redis_server, rq_queue("gpu", "high")) == [attempt_id]
    with redis_server.client() as client:
        queue = Queue(rq_queue("gpu", "high"), connection=client, serializer=JSONSerializer)
        message = queue.fetch_job(attempt_id)
        assert message is not None
        assert (message.func_name, message.args, message.kwargs) == (FUNCTION, [attempt_id], {})
        assert (message.timeout, message.result_ttl, message.retries_left) == (-1, 0, None)
        raw = client.hget(message.key, "data")
    import zlib

    assert json.loads(zlib.decompress(raw)) == [FUNCTION, None, [attempt_id], {}]  # type: ignore[arg-type]
    assert api.kinds(job["id"]) == ["submitted", "queued", "dispatched"]


def test_passes_can_be_repeated(api: Api, redis_server: RedisServer) -> None:
    job = api.submit()
    for _ in range(3):
        api.conduct()
    assert len(listed(redis_server)) == 1
    assert api.kinds(job["id"]).count("dispatched") == 1


def test_a_worker_takes_the_most_urgent_message_first(api: Api, redis_server: RedisServer) -> None:
    jobs = [api.submit(priority=name)["id"] for name in ("low", "normal", "high", "low", "high")]
    api.conduct()
    with redis_server.client() as client:
        queues = listen(rq_queues(["default"]), client)
        taken = [Queue.dequeue_any(queues, None, connection=client, serializer=JSONSerializer) for _ in jobs]
    order = [jobs[n] for n in (2, 4, 1, 0, 3)]
    assert [found[0].id for found in taken if found] == [api.attempt(job)["id"] for job in order]


def test_a_flushed_redis_is_repaired(api: Api, redis_server: RedisServer) -> None:
    jobs = [api.submit()["id"] for _ in range(5)]
    api.conduct()
    before = listed(redis_server)
    redis_server.client().flushall()

    def repaired() -> bool:
        api.conduct()
        return len(listed(redis_server)) == 5

    eventually(repaired)
    assert listed(redis_server) == before
    assert all(api.kinds(job_id).count("dispatched") == 2 for job_id in jobs)


def test_a_message_that_a_dead_worker_took_is_sent_again_after_a_while(api: Api, redis_server: RedisServer) -> None:
    attempt_id = api.attempt(api.submit()["id"])["id"]
    api.conduct()
    redis_server.client().lpop("rq:queue:baton:default:normal")
    api.conduct()
    assert listed(redis_server) == []  # the worker may be about to claim
    dispatched_long_ago(api, attempt_id)
    api.conduct()
    api.conduct()
    assert listed(redis_server) == [attempt_id]


def test_a_message_that_waits_is_left_where_it_is(api: Api, redis_server: RedisServer) -> None:
    first, second = (api.attempt(api.submit()["id"])["id"] for _ in range(2))
    api.conduct()
    dispatched_long_ago(api, first)
    api.conduct()
    assert listed(redis_server) == [first, second]


def test_a_claimed_attempt_is_not_sent(api: Api, redis_server: RedisServer) -> None:
    hand = api.running()
    api.conduct()
    assert listed(redis_server) == []
    hand.finish("preempted")
    api.conduct()
    assert listed(redis_server) == [api.attempt(hand.job_id)["id"]]


def test_backoff_is_waited_out(api: Api, redis_server: RedisServer) -> None:
    hand = api.running()
    hand.finish("failed", reason="exception")
    api.conduct()
    assert listed(redis_server) == []
    attempt_id = api.attempt(hand.job_id)["id"]
    api.set_attempt(attempt_id, not_before=db_now())
    api.conduct()
    assert listed(redis_server) == [attempt_id]


def test_a_job_without_an_attempt_gets_one(api: Api) -> None:
    job_id = api.submit()["id"]
    api.set_attempt(api.attempt(job_id)["id"], state="cancelled")
    api.conduct()
    assert [a["state"] for a in api.items(job_id, "attempts")] == ["cancelled", "queued"]
    api.conduct()
    assert len(api.items(job_id, "attempts")) == 2


@pytest.mark.parametrize(("desired", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_wish_that_was_left_over_takes_effect(api: Api, desired: str, status: str) -> None:
    job_id = api.submit()["id"]
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(desired=desired))
    enforcement.settle(api.services.database)
    assert api.job(job_id)["status"] == status
    assert api.attempt(job_id)["state"] == status


def test_redis_away_stops_nothing_else_and_is_told_once(
    start: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    with running_redis() as own:
        api = start(redis_url=own.url)
        own.stop()
        hand = api.running()
        api.let_lease_run_out(hand.attempt_id)
        hand.artifact("a.txt", b"a")
        for _ in range(3):
            api.conduct()
        assert api.job(hand.job_id)["status"] == "recovering"
        assert api.services.store.get(f"jobs/{hand.job_id}/a.txt") == b"a"
        told = [r.getMessage() for r in caplog.records if "dispatching to Redis failed" in r.getMessage()]
        assert len(told) == 1
        eventually(lambda: api.http.get("/readyz").status_code == 503)
        answer = api.http.get("/readyz")
        assert [e["field"] for e in answer.json()["errors"]] == ["redis"]
        own.start()
        api.conduct()
        assert listed(own) == [api.attempt(hand.job_id)["id"]]
        eventually(lambda: api.http.get("/readyz").status_code == 200)
        assert "reconciler: dispatching to Redis works again" in [r.getMessage() for r in caplog.records]


def test_a_store_that_is_away_stops_nothing_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the bucket is away")

    hand = api.running()
    hand.artifact("a.txt", b"a")
    with monkeypatch.context() as patch:
        for name in ("copy", "list", "delete", "check"):
            patch.setattr(api.services.store, name, away)
        job = api.submit()
        api.conduct()
        assert api.kinds(job["id"])[-1] == "dispatched"
        assert check_store(api.services.store) == "the bucket is away"
    api.conduct()
    assert api.services.store.get(f"jobs/{hand.job_id}/a.txt") == b"a"


@pytest.mark.parametrize("loss", ["flushed", "replaced"])
def test_one_pass_repairs_a_redis_that_lost_all(start: Callable[..., Api], loss: str) -> None:
    with running_redis() as first, running_redis() as second:
        api = start(redis_url=first.url)
        for n in range(50):
            api.submit(priority=("high", "normal", "low")[n % 3], queue=("default", "other")[n % 2])
        api.conduct()
        names = [rq_queue(queue, priority) for queue in ("default", "other") for priority in ("high", "normal", "low")]
        before = {name: listed(first, name) for name in names}
        assert sum(map(len, before.values())) == 50
        for names_sent in before.values():
            for attempt_id in names_sent:
                dispatched_long_ago(api, attempt_id)
        if loss == "flushed":
            first.client().flushall()
            api.conduct()
            assert {name: listed(first, name) for name in names} == before
        else:
            dispatch.dispatch(api.services.database, RqMessages(second.client()), 15.0, Limits())
            assert {name: listed(second, name) for name in names} == before


def test_a_pass_that_died_between_sending_and_recording(
    api: Api, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    jobs = [api.submit()["id"] for _ in range(3)]
    expected = [api.attempt(job)["id"] for job in jobs]
    sent = RqMessages.send

    def send_and_die(self: RqMessages, *arguments: Any, **more: Any) -> None:
        sent(self, arguments[0], arguments[1][:2], **more)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RqMessages, "send", send_and_die)
        api.conduct()
    assert listed(redis_server) == expected[:2]
    api.conduct()
    assert sorted(listed(redis_server)) == sorted(expected)  # each attempt once
    assert [api.kinds(job).count("dispatched") for job in jobs] == [1, 1, 1]


def test_each_step_of_a_pass_may_be_done_twice(api: Api, redis_server: RedisServer) -> None:
    lost, preempted, waiting = api.running(), api.running("w2"), api.submit()["id"]
    api.let_lease_run_out(lost.attempt_id)
    preempted.artifact("a.txt", b"a")
    preempted.finish("preempted")
    reconciler = api.services.reconciler
    for step in [*reconciler.quick, *reconciler.sending, *reconciler.publishing, *reconciler.deleting]:
        for _ in range(2):
            step.run(forced=True)
            assert step.failing is None, step.name
    jobs = [lost.job_id, preempted.job_id, waiting]
    assert sorted(listed(redis_server)) == sorted(api.attempt(job)["id"] for job in jobs)
    for job in jobs:
        assert api.kinds(job).count("dispatched") == 1
    assert [len(api.items(job, "attempts")) for job in jobs] == [2, 2, 1]
    assert api.services.store.get(f"jobs/{preempted.job_id}/a.txt") == b"a"
