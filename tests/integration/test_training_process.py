"""The training process next to its worker: signals and failures that must not end it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from baton.domain.queues import FUNCTION, rq_queue
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.process_state import gone
from tests.support.service import ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

SHORT = [{"image_size": 8, "batch_size": 8, "epochs": 1, "steps_per_epoch": 400}]


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for this signal."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


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


def test_once_means_one_attempt_and_not_one_message(jobs: Jobs, workers: Workers, redis_url: str) -> None:
    queue = Queue(rq_queue("once", "normal"), connection=redis.Redis.from_url(redis_url), serializer=JSONSerializer)
    queue.enqueue_call(FUNCTION, args=["0" * 32], job_id="0" * 32)
    worker = workers.start("--queue", "once", "--once")
    until(lambda: "did not get attempt " + "0" * 32 in worker.log.read_text(), 60, "the refusal")
    first = jobs.submit(tiny(queue="once", stages=SHORT))
    assert jobs.await_end(first)["status"] == "succeeded"
    assert worker.process is not None
    assert worker.process.wait(60) == 0
    second = jobs.submit(tiny(queue="once", stages=SHORT))
    assert jobs.show(second)["status"] == "queued"


def test_only_a_warm_worker_takes_an_attempt(jobs: Jobs, workers: Workers) -> None:
    job = jobs.submit(tiny(queue="warm", stages=SHORT))
    worker = workers.start("--queue", "warm")
    assert jobs.await_end(job)["status"] == "succeeded"
    # Compare the times in the lines: lines of the training process reach the worker's log a moment later.
    warm, given = (
        next(line for line in worker.log.read_text().splitlines() if words in line)[:23]
        for words in ("warm: waiting for an attempt", "goes to training process")
    )
    assert warm <= given


def test_a_worker_that_warms_up_ends_at_once_when_asked(service: ServiceProcess, tmp_path: Path) -> None:
    with make_workers(service, tmp_path, fork=False) as workers:  # a fork would be warm at once
        worker = workers.start("--queue", "nothing")
        until(lambda: catches(worker.pid, signal.SIGTERM), 60, "the worker to listen to signals")
        (child,) = worker.children()
        os.kill(child, signal.SIGSTOP)  # it does not become warm
        worker.terminate()
        assert worker.process is not None
        assert worker.process.wait(60) == 0
        assert gone(child)
        assert "warm: waiting for an attempt" not in worker.log.read_text()
