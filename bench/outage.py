"""`make bench-outage`: heartbeats of held attempts while the store hangs and 200 clients request its objects.

The service is a real process on one core. Its store is a bucket on a server that accepts requests and then stops
answering. Half of the clients request /readyz, the others an artifact. Each client repeats its request one second after
the answer. The quiet value is from the same heartbeats without clients and with a store that answers.
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
from collections import Counter
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

from bench.figures import heading, table
from bench.http_load import Line, Tally, Target, at_intervals
from bench.simulated import Held, hold
from tests.support.hanging_store import HangingStore, hanging_store
from tests.support.postgres import running_postgres
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

RATIO = 3.0
PAUSE_SECONDS = 1.0
NAME = "best.keras"
Counts = Counter[tuple[str, int]]


@dataclass(frozen=True)
class Scale:
    """The size of the measurement. `quiet` and `hang`: seconds. Each of `workers` sends one heartbeat per second."""

    workers: int = 50
    clients: int = 200
    quiet: int = 30
    hang: int = 60


QUICK = Scale(workers=10, clients=20, quiet=3, hang=5)


def pin(pids: list[int], core: int) -> None:
    """Pin all threads of the processes to one core: the service to the first, the load to the last."""
    cores = sorted(os.sched_getaffinity(0))
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), [cores[core]])


def _clients(port: int, paths: list[str], seconds: float, counted: Queue[Counts]) -> None:
    """Request the paths repeatedly, each path over a separate connection. Runs in a separate process."""
    counts: Counts = Counter()
    target = Target(port, TOKEN)

    async def one(number: int, path: str, ends: float) -> None:
        line, kind = Line(port), "/readyz" if path == "/readyz" else "artifact"
        await asyncio.sleep(PAUSE_SECONDS * number / len(paths))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                while True:
                    status, _ = await line.ask(target.request("GET", path))
                    counts[kind, status] += 1
                    await asyncio.sleep(PAUSE_SECONDS)
        line.close()

    async def run() -> None:
        ends = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(one(number, path, ends) for number, path in enumerate(paths)))

    asyncio.run(run())
    counted.put(counts)


def _store_artifacts(service: ServiceProcess, held: list[Held]) -> None:
    """Add artifact rows, so that requests for them reach the hanging store."""
    with service.client() as http:
        for one in held:
            target = f"jobs/{one.job}/versions/{one.fence}-1/{NAME}"
            body = {"fence": one.fence, "name": NAME, "object": target, "size": 4, "crc32c": "00000000"}
            body["content_type"] = "text/plain"
            http.post(f"/v1/attempts/{one.attempt}/artifacts", json=body).raise_for_status()


def _under_the_hang(
    service: ServiceProcess, bucket: HangingStore, held: list[Held], scale: Scale
) -> tuple[Tally, Counts]:
    artifacts = [f"/v1/jobs/{one.job}/artifacts/{NAME}" for one in held]
    half = scale.clients // 2
    paths = ["/readyz"] * half + [artifacts[k % len(artifacts)] for k in range(half)]
    context = multiprocessing.get_context("spawn")
    counted: Queue[Counts] = context.Queue()
    clients = context.Process(target=_clients, args=(service.port, paths, float(scale.hang), counted))
    clients.start()
    bucket.hang()
    time.sleep(2.0)  # until the clients have started
    beats = [one.beat(Target(service.port, TOKEN), 20) for one in held]
    tally = at_intervals(service.port, beats, 1.0, scale.hang - 2).expect(200)
    found = counted.get(timeout=60)
    clients.join()
    bucket.go_on()
    return tally, found


def _lost(service: ServiceProcess, held: list[Held]) -> int:
    """The number of attempts that are no longer held."""
    with service.client() as http:
        jobs = [http.get(f"/v1/jobs/{one.job}").raise_for_status().json() for one in held]
    return sum(job["status"] != "running" or job["attempts"] != 1 for job in jobs)


def _measure(name: str, database_url: str | None, redis_url: str, scale: Scale) -> tuple[str, ...]:
    settings = {"BATON_DATABASE_URL": database_url} if database_url else {}
    with hanging_store() as bucket, tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        settings |= {"BATON_STORE": bucket.url, **bucket.environ}
        with running_service(Path(folder), redis_url, **settings) as service:
            assert service.process is not None
            with service.client() as http:
                held = hold(http, scale.workers)
            _store_artifacts(service, held)
            pin([service.process.pid], 0)
            beats = [one.beat(Target(service.port, TOKEN), 10) for one in held]
            at_intervals(service.port, beats, 1.0, 2).expect(200)
            quiet = at_intervals(service.port, beats, 1.0, scale.quiet).expect(200)
            hang, counts = _under_the_hang(service, bucket, held, scale)
            lost = _lost(service, held)
    ratio = hang.quantile(0.99) / quiet.quantile(0.99)
    print(f"{name}: answers to the clients: {_words(counts)}", flush=True)
    met = "met" if ratio < RATIO and not lost else "MISSED"
    print(
        f"{name}: p99 under the hang / quiet = {ratio:.2f}, target below {RATIO:g}; {lost} leases lost: {met}",
        flush=True,
    )
    figures = [f"{1000 * tally.quantile(q):.1f}" for tally in (quiet, hang) for q in (0.5, 0.99)]
    return (name, *figures, f"{ratio:.2f}", str(lost))


def _words(counts: Counts) -> str:
    return ", ".join(f"{kind} {status}: {number}" for (kind, status), number in sorted(counts.items()))


def main() -> int:
    """Measure and print. Exit status 0 if it completed, even if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.outage")
    parser.add_argument("--quick", action="store_true", help="few clients and short times, to try the benchmark")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    options = parser.parse_args()
    wanted, scale = options.database, QUICK if options.quick else Scale()
    heading(
        f"{scale.workers} heartbeats a second while the store hangs for {scale.hang} s under {scale.clients} clients"
    )
    rows = []
    with running_redis() as redis:
        if wanted != "postgresql":
            rows.append(_measure("SQLite", None, redis.url, scale))
        if wanted != "sqlite":
            with running_postgres() as server:
                rows.append(_measure("PostgreSQL", server.url(server.create()), redis.url, scale))
    table(("heartbeats, ms", "quiet p50", "quiet p99", "hang p50", "hang p99", "p99 ratio", "leases lost"), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
