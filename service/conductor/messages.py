"""Messages to the workers: RQ jobs with an attempt id, in JSON, never more than one copy in a list."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, cast

from redis import Redis
from rq import Queue
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from core.domain.queues import FUNCTION

FAILURE_TTL = 3600


class Messages:
    """The RQ queues. All calls raise redis.RedisError where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queues: dict[str, Any] = {}

    def send(self, queue_name: str, attempt_id: str, *, front: bool = False) -> None:
        """Put the message at the end of its list, or its front, in place of any copy that lies there."""
        queue = self._queue(queue_name)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.multi()  # said before the first command, because RQ would say it after
            pipe.lrem(queue.key, 0, attempt_id)
            # RQ's own retry stays off and no time limit is set: the attempt's lease decides, not Redis.
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
            pipe.execute()

    def waiting(self, queue_names: Iterable[str]) -> set[str]:
        """Attempts whose message lies in one of the lists."""
        found: set[str] = set()
        for name in queue_names:
            ids = cast("list[bytes]", self._redis.lrange(self._queue(name).key, 0, -1))
            found.update(one.decode() for one in ids)
        return found

    def known(self, attempt_ids: Collection[str]) -> set[str]:
        """Attempts of which Redis knows the message, wherever it is: in a list or with a worker."""
        if not attempt_ids:
            return set()
        with self._redis.pipeline(transaction=False) as pipe:
            for attempt_id in attempt_ids:
                pipe.exists(RqJob.key_for(attempt_id))
            answers = pipe.execute()
        return {attempt_id for attempt_id, there in zip(attempt_ids, answers, strict=True) if there}

    def _queue(self, name: str) -> Any:
        if name not in self._queues:
            self._queues[name] = Queue(name, connection=self._redis, serializer=JSONSerializer)
        return self._queues[name]
