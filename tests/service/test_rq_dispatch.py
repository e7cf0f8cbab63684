"""Redis keeps a message as long as it is needed, and the records of other programs stay."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY
from sqlalchemy import select, update

from baton.domain.queues import FUNCTION, rq_queue, rq_queues
from service.db.operation_tables import PassFailure
from service.db.tables import Job
from service.reconciler import dispatch
from service.reconciler.rq_dispatch import MESSAGE_TTL
from tests.service.dispatched import dispatched_long_ago, listed
from tests.service.helpers import Api
from tests.support.redis import RedisServer
from worker.supervisor.rq_source import BatonWorker, listen

NORMAL = rq_queue("default", "normal")
STARTED = f"rq:wip:{NORMAL}"


@pytest.fixture
def redis(redis_server: RedisServer) -> Redis:
    return redis_server.client()


def records(redis: Redis) -> list[str]:
    keys: Any = redis.keys("rq:job:*")
    return sorted(key.decode().removeprefix("rq:job:") for key in keys)


def pop(redis: Redis) -> str:
    """Take a message as a worker does."""
    found = Queue.dequeue_any(listen(rq_queues(["default"]), redis), None, connection=redis, serializer=JSONSerializer)
    assert found is not None
    return str(found[0].id)


def test_nothing_is_left_of_jobs_that_were_claimed_over_http_or_ended(
    api: Api, redis_server: RedisServer, redis: Redis
) -> None:
    jobs = [api.submit()["id"] for _ in range(4)]
    api.conduct()
    assert len(records(redis)) == len(listed(redis_server)) == 4
    held = api.claim(jobs[0])
    api.ask(jobs[1], "cancel")
    api.ask(jobs[2], "pause")
    api.conduct()
    waits = api.attempt(jobs[3])["id"]
    assert listed(redis_server) == records(redis) == [waits]
    held.finish("succeeded")
    api.ask(jobs[3], "cancel")
    api.conduct()
    assert redis.keys("rq:job:*") == redis.keys("rq:queue:*") == []


def test_what_a_worker_took_is_left_to_it_until_it_ends(api: Api, redis: Redis) -> None:
    job = api.submit()["id"]
    api.conduct()
    attempt = pop(redis)
    hand = api.claim(job)
    api.conduct()
    assert records(redis) == [attempt]
    assert 0 < int(redis.ttl(f"rq:job:{attempt}")) <= MESSAGE_TTL  # type: ignore[arg-type]
    hand.finish("succeeded")  # by now the worker has deleted the message, unless it was killed
    api.conduct()
    assert records(redis) == []


def test_a_worker_whose_record_is_gone_leaves_no_fragment(api: Api, redis: Redis) -> None:
    api.submit()
    api.conduct()
    worker = BatonWorker(listen(rq_queues(["default"]), redis), _Seat(), name="w", connection=redis)  # type: ignore[arg-type]
    worker.register_birth()
    found = Queue.dequeue_any(worker.queues, None, connection=redis, serializer=JSONSerializer)
    assert found is not None
    job = found[0]
    execution = worker.prepare_execution(job)
    redis.delete(job.key)
    worker._beat_redis(job, execution)
    assert records(redis) == []
    worker._settle(job, execution)
    assert redis.keys("rq:execution*") == redis.keys(STARTED) == []


class _Seat:
    class liveness:  # noqa: N801 - an attribute of the real one
        @staticmethod
        def beat() -> None:
            """Do nothing."""


def test_a_message_that_redis_forgot_is_sent_again(api: Api, redis_server: RedisServer, redis: Redis) -> None:
    attempt = api.attempt(api.submit()["id"])["id"]
    api.conduct()
    redis.delete(f"rq:job:{attempt}")
    assert Queue.dequeue_any(listen([NORMAL], redis), None, connection=redis, serializer=JSONSerializer) is None
    dispatched_long_ago(api, attempt)
    api.conduct()
    assert listed(redis_server) == records(redis) == [attempt]


def test_what_an_older_release_left_is_removed(api: Api, redis_server: RedisServer, redis: Redis) -> None:
    """Messages and records of attempts that ended long ago. No row refers to them."""
    ended, running = api.running(), api.running("w2")
    ended.finish("succeeded")
    waits = api.attempt(api.submit()["id"])["id"]
    api.conduct()
    queue = Queue(NORMAL, connection=redis, serializer=JSONSerializer)
    for hand in (ended, running):
        queue.enqueue_call(FUNCTION, args=[hand.attempt_id], job_id=hand.attempt_id, timeout=-1)
    redis.hset(f"rq:job:{running.attempt_id}", "last_heartbeat", "x")
    api.conduct()
    assert listed(redis_server) == [waits]
    assert records(redis) == [waits]


def test_the_sweep_ends_what_killed_workers_left_and_touches_nobody_elses(api: Api, redis: Redis) -> None:
    running = api.running()
    api.submit()
    api.conduct()
    now = time.time()
    redis.hset(f"rq:job:{running.attempt_id}", "last_heartbeat", "x")
    redis.zadd(STARTED, {"dead:1": now - 100, "alive:1": now + 100})
    redis.set("rq:worker:alive", "x")
    for name in (WORKERS_BY_QUEUE_KEY % NORMAL, REDIS_WORKER_KEYS):
        redis.sadd(name, "rq:worker:dead", "rq:worker:alive")
    theirs = Queue("mail", connection=redis)
    theirs.enqueue_call("os.getcwd", job_id="0" * 32)
    redis.zadd("rq:wip:mail", {"x:1": 1})
    redis.sadd(WORKERS_BY_QUEUE_KEY % "mail", "rq:worker:theirs")
    redis.sadd(REDIS_WORKER_KEYS, "rq:worker:theirs")
    api.conduct()
    assert 0 < int(redis.ttl(f"rq:job:{running.attempt_id}")) <= MESSAGE_TTL  # type: ignore[arg-type]
    assert redis.zrange(STARTED, 0, -1) == [b"alive:1"]
    assert redis.smembers(WORKERS_BY_QUEUE_KEY % NORMAL) == {b"rq:worker:alive"}
    assert redis.smembers(REDIS_WORKER_KEYS) == {b"rq:worker:alive", b"rq:worker:theirs"}
    assert theirs.job_ids == ["0" * 32]
    assert redis.ttl(f"rq:job:{'0' * 32}") == -1
    assert redis.zcard("rq:wip:mail") == 1


def test_a_name_of_a_list_that_is_not_used_is_forgotten(api: Api, redis: Redis) -> None:
    job = api.submit(queue="once")["id"]
    api.conduct()
    key = f"rq:queue:{rq_queue('once', 'normal')}".encode()
    assert key in redis.smembers("rq:queues")  # type: ignore[operator]
    api.claim(job)
    for _ in range(2):
        api.conduct()
    assert key not in redis.smembers("rq:queues")  # type: ignore[operator]


def test_a_list_that_fails_stops_no_other(api: Api, redis_server: RedisServer, redis: Redis) -> None:
    redis.set(f"rq:queue:{rq_queue('bad', 'normal')}", "this is no list")
    bad, good = api.submit(queue="bad")["id"], api.submit()["id"]
    api.conduct()
    assert listed(redis_server) == [api.attempt(good)["id"]]
    assert api.kinds(bad)[-1] == "queued"
    with api.services.database.read() as session:
        failed = session.scalars(select(PassFailure.item).where(PassFailure.step == dispatch.SENDING)).all()
    assert failed == [rq_queue("bad", "normal")]


def test_a_job_that_cannot_be_recorded_stops_no_other(api: Api, redis_server: RedisServer) -> None:
    jobs = [api.submit()["id"] for _ in range(3)]
    with api.services.database.write() as session:  # the number of the job's next event is already taken
        session.execute(update(Job).where(Job.id == jobs[1]).values(events=0))
    api.conduct()
    assert [api.kinds(job)[-1] for job in (jobs[0], jobs[2])] == ["dispatched"] * 2
    with api.services.database.read() as session:
        failed = session.scalars(select(PassFailure).where(PassFailure.step == dispatch.RECORDING)).all()
    assert [row.job_id for row in failed] == [jobs[1]]
    for _ in range(2):
        api.conduct()
    assert [api.kinds(job).count("dispatched") for job in (jobs[0], jobs[2])] == [1, 1]
    assert len(listed(redis_server)) == 3
