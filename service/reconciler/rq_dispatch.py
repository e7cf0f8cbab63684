"""The RQ messages: an attempt id in JSON, at most one copy per list."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from redis import ConnectionError as RedisConnectionError
from redis import Redis
from redis import TimeoutError as RedisTimeoutError
from redis.client import Pipeline
from rq import Queue
from rq.job import Job as RqJob
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from baton.domain.queues import FUNCTION, RQ_PREFIX

AWAY = (RedisConnectionError, RedisTimeoutError)
"""Errors that mean that Redis itself is unavailable, not that one list is bad."""

FAILURE_TTL = 3600
MESSAGE_TTL = 7 * 24 * 3600
"""Seconds until Redis expires a message. If its attempt still waits then, the reconciler sends a new message."""

_ATTEMPT_ID = re.compile(r"[0-9a-f]{32}")


class RqMessages:
    """The RQ queues. All calls raise redis.RedisError if Redis is unavailable. Each call handles a bounded amount."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queues: dict[str, Any] = {}

    def send(self, list_name: str, attempt_ids: Iterable[str], *, front: bool = False) -> None:
        """Put messages at the end of a list, or each one at its front. Replaces existing copies of them."""
        queue = self._queue(list_name)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.multi()  # must come before the first command, and RQ calls it only later
            for attempt_id in attempt_ids:
                self._send(pipe, queue, attempt_id, front=front)
            pipe.execute()

    @staticmethod
    def _send(pipe: Pipeline, queue: Any, attempt_id: str, *, front: bool) -> None:
        pipe.lrem(queue.key, 0, attempt_id)
        # No RQ retry and no time limit: the attempt's lease decides, not Redis.
        queue.enqueue_call(
            FUNCTION,
            args=[attempt_id],
            job_id=attempt_id,
            timeout=-1,
            result_ttl=0,
            failure_ttl=FAILURE_TTL,
            description=attempt_id,
            at_front=front,
            pipeline=pipe,
        )
        pipe.expire(RqJob.key_for(attempt_id), MESSAGE_TTL)

    def remove(self, list_name: str, attempt_ids: Sequence[str], ended: Collection[str] = ()) -> None:
        """Remove messages that are no longer needed.

        If a message is not in the list, a worker has taken it. This worker needs RQ's record until its attempt ends,
        and then deletes the record. The records of `ended` attempts are always deleted, because their workers may have
        been killed.
        """
        if not attempt_ids:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for attempt_id in attempt_ids:
                pipe.lrem(self._queue(list_name).key, 1, attempt_id)
            removed = pipe.execute()
        found = [one for one, number in zip(attempt_ids, removed, strict=True) if number or one in ended]
        self.forget(found)

    def withdraw(self, list_name: str, attempt_id: str) -> None:
        """Remove a message from a list. RQ's record stays, because the message may be in another list too."""
        self._redis.lrem(self._queue(list_name).key, 1, attempt_id)

    def forget(self, attempt_ids: Collection[str]) -> None:
        """Delete RQ's records of messages."""
        if attempt_ids:
            self._redis.delete(*(RqJob.key_for(one) for one in attempt_ids))

    def lengths(self, list_names: Sequence[str]) -> dict[str, int]:
        """The number of messages in each list."""
        with self._redis.pipeline(transaction=False) as pipe:
            for name in list_names:
                pipe.llen(self._queue(name).key)
            found = pipe.execute(raise_on_error=False)
        # A key of another type has length 0 here. Calls that read or write it raise the error.
        return {name: one if isinstance(one, int) else -1 for name, one in zip(list_names, found, strict=True)}

    def entries(self, list_name: str, most: int) -> list[str]:
        """The attempts of the first messages of a list."""
        found = cast("list[bytes]", self._redis.lrange(self._queue(list_name).key, 0, most - 1))
        return [one.decode(errors="replace") for one in found]

    def known(self, attempt_ids: Collection[str]) -> set[str]:
        """The attempts whose message has a record in Redis. The message is in a list, or a worker has taken it."""
        if not attempt_ids:
            return set()
        with self._redis.pipeline(transaction=False) as pipe:
            for attempt_id in attempt_ids:
                pipe.exists(RqJob.key_for(attempt_id))
            answers = pipe.execute()
        return {attempt_id for attempt_id, there in zip(attempt_ids, answers, strict=True) if there}

    def scan_records(self, cursor: int, most: int) -> tuple[int, list[str]]:
        """Attempts of RQ records that may be Baton's. Scans about `most` keys of Redis."""
        prefix = RqJob.redis_job_namespace_prefix
        following, keys = cast("tuple[int, list[bytes]]", self._redis.scan(cursor, match=f"{prefix}*", count=most))
        names = (key.decode(errors="replace").removeprefix(prefix) for key in keys)
        return int(following), [name for name in names if _ATTEMPT_ID.fullmatch(name)]

    def expire(self, attempt_ids: Sequence[str]) -> None:
        """Make sure that the records of these attempts expire."""
        with self._redis.pipeline(transaction=False) as pipe:
            for attempt_id in attempt_ids:
                pipe.ttl(RqJob.key_for(attempt_id))
            ttls = pipe.execute()
            for attempt_id, ttl in zip(attempt_ids, ttls, strict=True):
                if ttl == -1:
                    pipe.expire(RqJob.key_for(attempt_id), MESSAGE_TTL)
            pipe.execute()

    def scan_lists(self, cursor: int, most: int) -> tuple[int, list[str]]:
        """Names of Baton's lists. Scans about `most` of the names that RQ knows."""
        prefix = Queue.redis_queue_namespace_prefix
        found = self._redis.sscan(Queue.redis_queues_keys, cursor, match=f"{prefix}{RQ_PREFIX}*", count=most)
        following, keys = cast("tuple[int, list[bytes]]", found)
        return int(following), [key.decode(errors="replace").removeprefix(prefix) for key in keys]

    def sweep_list(self, list_name: str, most: int) -> None:
        """Remove the entries of killed workers from RQ's registries of a list, and the name of an unused list."""
        started = StartedJobRegistry.key_template.format(list_name)
        # The score is the time at which RQ considers the work abandoned. A live worker extends it every 15 s.
        dead = self._redis.zrange(started, "-inf", f"({time.time()}", byscore=True, offset=0, num=most)
        if dead:
            self._redis.zrem(started, *cast("list[bytes]", dead))
        workers = WORKERS_BY_QUEUE_KEY % list_name
        members = cast("list[bytes]", self._redis.srandmember(workers, most))  # a random part of them each time
        gone = [one for one, there in self._exist(members).items() if not there]
        if gone:
            self._redis.srem(workers, *gone)
            self._redis.srem(REDIS_WORKER_KEYS, *gone)
        key = self._queue(list_name).key
        if not any(self._exist([key, started, workers]).values()):
            self._redis.srem(Queue.redis_queues_keys, key)

    def _exist(self, keys: Sequence[Any]) -> Mapping[Any, bool]:
        with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.exists(key)
            return dict(zip(keys, map(bool, pipe.execute()), strict=True))

    def _queue(self, name: str) -> Any:
        if name not in self._queues:
            self._queues[name] = Queue(name, connection=self._redis, serializer=JSONSerializer)
        return self._queues[name]
