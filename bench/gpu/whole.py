"""The same training through the whole system: service, Redis, worker, validation, checkpoints, a kill -9, a resume."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gpu.case import Case
from bench.handover import STEPPED, WorkerLog, instant, until
from tests.support.jobs import Jobs
from tests.support.redis import running_redis
from tests.support.service import running_service
from tests.support.worker import WorkerProcess, workers

EPOCHS = 4
LONGEST = 900.0
# Seconds between two reads. More reads would cost the driver too much time.
SAMPLE_SECONDS = 0.5
UTILISATION = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Whole:
    """The results. Times in seconds.

    `rates`: images per second of each whole epoch, except the one that compiles and the one that is interrupted.
    `used`: shares of time in which the GPU worked during these epochs.
    """

    rates: list[float]
    stall: float
    total: float
    resume: float
    compiled: float
    used: list[float] = field(default_factory=list)


def measure(case: Case, data: Path | None, steps: int | None) -> Whole:
    """Train EPOCHS epochs. The worker is killed in the last one, and another worker continues."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        redis = stack.enter_context(running_redis())
        service = stack.enter_context(
            running_service(folder, redis.url, BATON_LEASE_SECONDS="6", BATON_HEARTBEAT_SECONDS="2")
        )
        made, jobs = stack.enter_context(workers(service, folder)), Jobs(stack.enter_context(service.client()))
        job = jobs.submit(_job(case, data, steps))
        worker = made.start()
        with sampled() as used:
            _epochs(jobs, job, EPOCHS - 1)
        resume, compiled = _killed_and_resumed(jobs, job, worker, made.start)
        _epochs(jobs, job, EPOCHS)
        until(lambda: jobs.show(job)["status"] == "succeeded" or None, "the end", LONGEST)
        rows, goodput = jobs.items(job, "history"), jobs.show(job)["goodput"]
        rates = [row["images_per_second"] for row in rows[1 : EPOCHS - 1]]
        spans = [_span(row) for row in rows[1 : EPOCHS - 1]]
        shares = [share for at, share in used if any(begun <= at <= ended for begun, ended in spans)]
        return Whole(rates, goodput["checkpoint_stall"], goodput["total"], resume, compiled, shares)


def _job(case: Case, data: Path | None, steps: int | None) -> dict[str, Any]:
    dataset = {"name": "tiny-imagenet-200", "path": str(data.resolve())} if data else {"name": "digits"}
    spec = case.spec(augmented=True, dataset=dataset, checkpoint={"every": "auto"})
    (stage,) = spec["stages"]
    return {**spec, "stages": [{**stage, "epochs": EPOCHS, **({"steps_per_epoch": steps} if steps else {})}]}


def _span(row: dict[str, Any]) -> tuple[float, float]:
    """From an epoch's first step to its record, including validation, in seconds since the Unix epoch."""
    ended = instant(row["finished_at"])
    return ended - row["seconds"], ended


def _epochs(jobs: Jobs, job: str, count: int) -> None:
    def done() -> bool | None:
        shown = jobs.show(job)
        if shown["status"] == "failed":
            raise RuntimeError(f"the job failed: {shown['reason']}")
        return len(jobs.items(job, "history")) >= count or None

    until(done, f"epoch {count}", LONGEST)


def _killed_and_resumed(jobs: Jobs, job: str, worker: WorkerProcess, start: Any) -> tuple[float, float]:
    """Seconds from the second worker's start to its first new step, and how many of them are compilation."""
    worker.kill_group()
    until(lambda: jobs.show(job)["status"] != "running" or None, "the loss to be seen", LONGEST)
    begun, following = time.time(), start()
    stepped = WorkerLog(following).wait(STEPPED)
    return stepped.at - begun, stepped.value


@contextmanager
def sampled() -> Iterator[list[tuple[float, float]]]:
    """Times and GPU utilisation, 0 to 1, while the block runs. Empty without a GPU."""
    found: list[tuple[float, float]] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            done = subprocess.run(UTILISATION, capture_output=True, text=True, check=False)
            lines = [line.strip() for line in done.stdout.splitlines()[:1]]
            found.extend((time.time(), float(line) / 100) for line in lines if line.isdigit())

    thread = threading.Thread(target=sample, daemon=True)
    if shutil.which(UTILISATION[0]):
        thread.start()
    try:
        yield found
    finally:
        over.set()
        if thread.is_alive():
            thread.join()
