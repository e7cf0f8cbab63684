"""`make bench-uploads`: heartbeats and memory of the service while 200 workers upload checkpoints through it.

The service is a real process on one core, with SQLite and a directory store. Each worker sends parts of 8 MiB of one
object again and again over a separate connection, with the token of its attempt. The quiet value is from the same
heartbeats without uploads.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import count
from multiprocessing.queues import Queue
from pathlib import Path

import httpx

from baton.domain.attempt_objects import CRC32C_HEADER, PART_BYTES
from baton.domain.manifest import checkpoint_prefix
from baton.storage import crc32c_of
from bench.figures import heading, table
from bench.http_load import Line, Target, at_intervals
from bench.outage import RATIO, pin
from bench.simulated import Held, worker_info
from tests.support.jobs import tiny
from tests.support.redis import running_redis
from tests.support.service import TOKEN, running_service

START_SECONDS, WARM_SECONDS = 2.0, 5.0
"""The workers begin one after another within the first time. The heartbeats are measured after the second."""

PAUSE_SECONDS = 0.2
"""Pause of a worker after an answer that is not a success."""


@dataclass(frozen=True)
class Scale:
    """The size of the measurement. `quiet`, `load` and the interval between two heartbeats of a worker: seconds."""

    workers: int = 200
    quiet: int = 20
    load: int = 45
    interval: int = 10


QUICK = Scale(workers=10, quiet=3, load=10, interval=1)


@dataclass(frozen=True)
class Writer(Held):
    """An attempt with its token."""

    token: str = ""

    def part(self, port: int, body: bytes, crc32c: str) -> bytes:
        """The request that stores the whole object."""
        name = f"{checkpoint_prefix(self.job, 10, self.fence, 0)}/state.safetensors"
        path = f"/v1/attempts/{self.attempt}/objects/{name}?size={len(body)}"
        return Target(port, self.token).request("PUT", path, body, **{CRC32C_HEADER.replace("-", "_"): crc32c})


def _writers(http: httpx.Client, many: int) -> list[Writer]:
    made = []
    for number in range(many):
        job = http.post("/v1/jobs", json=tiny(name=f"held-{number}")).json()["id"]
        attempt = http.get(f"/v1/jobs/{job}/attempts").json()["items"][0]["id"]
        claim = {"claim_id": uuid.uuid4().hex, "worker": worker_info(f"sim-{number}", number)}
        grant = http.post(f"/v1/attempts/{attempt}/claim", json=claim).raise_for_status().json()
        made.append(Writer(job, attempt, grant["fence"], grant["token"]))
    return made


def _upload(port: int, writers: list[Writer], seconds: float, counted: Queue[Counter[int]]) -> None:
    """Upload repeatedly, in a separate process."""
    counts: Counter[int] = Counter()
    body, begins = bytes(PART_BYTES), count()
    crc32c = crc32c_of(body)

    async def one(writer: Writer, ends: float) -> None:
        line = Line(port)
        await asyncio.sleep(next(begins) * START_SECONDS / len(writers))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                while True:
                    try:
                        status, _ = await line.ask(writer.part(port, body, crc32c))
                    except (ConnectionError, asyncio.IncompleteReadError):
                        status = 0
                    counts[status] += 1
                    if status != httpx.codes.CREATED:
                        await asyncio.sleep(PAUSE_SECONDS)
        line.close()

    async def run() -> None:
        ends = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(one(writer, ends) for writer in writers))

    asyncio.run(run())
    counted.put(counts)


def _peak(pid: int) -> float:
    """The largest resident memory of the process so far, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def main() -> int:
    """Measure and print. Exit status 0 if it completed, even if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.uploads")
    parser.add_argument("--quick", action="store_true", help="few workers and short times, to try the benchmark")
    scale = QUICK if parser.parse_args().quick else Scale()
    heading(f"{scale.workers} workers upload parts of {PART_BYTES >> 20} MiB through the service for {scale.load} s")
    with (
        running_redis() as redis,
        tempfile.TemporaryDirectory(prefix="baton-bench-") as folder,
        running_service(Path(folder), redis.url, BATON_LEASE_SECONDS="600") as service,
        service.client() as http,
    ):
        assert service.process is not None
        writers, pid = _writers(http, scale.workers), service.process.pid
        pin([pid], 0)
        beats = [one.beat(Target(service.port, TOKEN), 10) for one in writers]
        at_intervals(service.port, beats, 1.0, 2).expect(200)
        quiet = at_intervals(service.port, beats, scale.interval, scale.quiet // scale.interval).expect(200)
        before = _peak(pid)
        context = multiprocessing.get_context("spawn")
        counted: Queue[Counter[int]] = context.Queue()
        load = context.Process(target=_upload, args=(service.port, writers, float(scale.load), counted))
        load.start()
        assert load.pid is not None
        pin([load.pid, os.getpid()], -1)
        os.setpriority(os.PRIO_PROCESS, load.pid, 19)  # it must not delay the heartbeats of this process
        time.sleep(WARM_SECONDS)
        left = int(scale.load - WARM_SECONDS)
        busy = at_intervals(service.port, beats, scale.interval, left // scale.interval).expect(200)
        during = _peak(pid)
        counts = counted.get(timeout=120)
        load.join()
    ratio = busy.quantile(0.99) / quiet.quantile(0.99)
    megabytes = PART_BYTES * counts[httpx.codes.CREATED] / scale.load / 1e6
    rows = [
        (name, f"{1000 * tally.quantile(0.5):.1f}", f"{1000 * tally.quantile(0.99):.1f}", f"{memory:.0f}")
        for name, tally, memory in (("quiet", quiet, before), ("uploads", busy, during))
    ]
    table(("", "p50, ms", "p99, ms", "peak memory, MB"), rows)
    met = "met" if ratio < RATIO else "MISSED"
    print(f"answers {dict(counts)}, {megabytes:.0f} MB/s; p99 {ratio:.2f} times quiet, target below {RATIO:g}: {met}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
