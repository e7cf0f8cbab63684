"""The training process beside its worker: what it does not get, it does not die of."""

from __future__ import annotations

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from core.domain.queues import FUNCTION, rq_queue
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.worker import Workers

SHORT = [{"image_size": 8, "batch_size": 8, "epochs": 1, "steps_per_epoch": 400}]


def test_a_refused_claim_keeps_the_warm_process(jobs: Jobs, workers: Workers, redis_url: str) -> None:
    queue = Queue(rq_queue("refusals", "normal"), connection=redis.Redis.from_url(redis_url), serializer=JSONSerializer)
    queue.enqueue_call(FUNCTION, args=["0" * 32], job_id="0" * 32)
    worker = workers.start("--queue", "refusals")
    until(lambda: "did not get attempt " + "0" * 32 in worker.log.read_text(), 60, "the refusal")
    (warm,) = worker.children()
    job = jobs.submit(tiny(queue="refusals", stages=SHORT))
    jobs.await_step(job, 1)
    assert worker.children() == [warm]
    assert jobs.await_end(job)["status"] == "succeeded"
