"""`make bench-retention`: a year of jobs under a retention of 30 days.

The clock of the database is moved through a year in steps of ten days. Before each step, jobs end, and their objects
are in the store. After it, the service deletes what is too old, while 100 workers send a heartbeat every two seconds.

The benchmark prints the sizes of tables, Redis and store in the course of the year, and the times of heartbeats with
and without a deletion at the same time. It runs on SQLite, or with `--database postgresql` on PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
from redis import Redis
from sqlalchemy import Engine, func, select, text

from baton.domain.manifest import MANIFEST, artifact_name, job_prefix
from baton.storage import open_store
from bench.crowd import Crowd, Year
from bench.figures import heading, table
from bench.http_load import Tally, at_intervals
from bench.http_load import Target as Address
from bench.simulated import Held, hold
from service.db.engine import open_engine
from service.db.migrate import migrate
from service.db.tables import Base, Job
from service.db.types import db_now
from tests.support.moved_clock import MovedClock, moved_clock
from tests.support.postgres import running_postgres
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

HELD, BEAT_SECONDS = 100, 2.0
KEEP_DAYS, YEAR_DAYS, STEP_DAYS = 30, 360, 10
EVENTS = 10
"""Events of each job."""

EARLY_DAY = 60
"""A day after which no more rows should be added than deleted."""

DAY = 86_400.0
LIMIT = 2.0
PATIENCE = 120.0
"""Seconds in which a step must be over."""

SETTINGS = {
    "BATON_LEASE_SECONDS": "3600",
    **{f"BATON_RETENTION_{kind}": f"{KEEP_DAYS}d" for kind in ("JOBS", "AUDIT", "WORKERS", "KEYS")},
}
Sizes = dict[str, int]


@dataclass
class Beats:
    """Heartbeats of all workers. `held`: their attempts."""

    address: Address
    held: list[Held]
    quiet: Tally = field(default_factory=Tally)
    beside: Tally = field(default_factory=Tally)

    def send(self, into: Tally) -> None:
        """Send a heartbeat of each worker, and add the times."""
        requests = [one.beat(self.address, 30) for one in self.held]
        found = at_intervals(self.address.port, requests, BEAT_SECONDS, rounds=1).expect(200)
        into.seconds += found.seconds
        into.elapsed += found.elapsed

    def send_until(self, done: Callable[[], bool]) -> None:
        """Send heartbeats until the condition is true. Raises TimeoutError after PATIENCE."""
        end = time.monotonic() + PATIENCE
        self.send(self.beside)
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"a step was not over after {PATIENCE:g} s")
            self.send(self.beside)


class Bench:
    """A service whose clock is moved, and this process's direct connections to its database, Redis and store."""

    def __init__(
        self, service: ServiceProcess, engine: Engine, redis: Redis, http: httpx.Client, clock: MovedClock
    ) -> None:
        self.address, self.http, self.clock = Address(service.port, TOKEN), http, clock
        self._engine, self._redis = engine, redis
        self._crowd = Crowd(engine, http, open_store(service.store_url))
        self._folder = Path(service.store_url.removeprefix("file://"))

    def end_jobs(self, jobs: int) -> None:
        """Add jobs that end now, with what belongs to them, and two objects of each."""
        others = max(1, jobs // 10)
        year = Year(ended=jobs, events=EVENTS * jobs, workers=others, others=others)
        for job_id in self._crowd.ended(year, self._now()):
            for name in (f"{job_prefix(job_id)}/checkpoints/0000000001-1-1/{MANIFEST}", artifact_name(job_id, "a.txt")):
                # Written directly: the store would sync each object and each folder to the disk.
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"{}")

    def prune(self) -> None:
        """Order the deletion of all jobs that are too old, and delete other old rows."""
        left = 1
        while left:
            items = self.http.post("/v1/prune", timeout=PATIENCE).raise_for_status().json()["items"]
            left = sum(one["left"] for one in items)

    def deleted(self) -> bool:
        """Whether no deletion is due: the objects of all deleted jobs are gone, and the rows of most of them."""
        due = select(func.count()).where(Job.deleted_at.is_not(None), Job.sweep_at <= db_now())
        with self._engine.connect() as connection:
            return connection.execute(due).scalar_one() == 0

    def sizes(self) -> Sizes:
        """Rows by table, keys in Redis, objects in the store, bytes of the database."""
        with self._engine.connect() as connection:
            found = {
                f"rows of {one.name}": connection.execute(select(func.count()).select_from(one)).scalar_one()
                for one in Base.metadata.sorted_tables
            }
            found["MB of the database"] = round(connection.execute(text(self._measure())).scalar_one() / 1e6)
        found["keys in Redis"] = self._redis.dbsize()
        found["objects in the store"] = sum(len(files) for _, _, files in os.walk(self._folder / "jobs"))
        return found

    def strays(self) -> int:
        """Folders in the store whose job has no row."""
        with self._engine.connect() as connection:
            known = set(connection.execute(select(Job.id)).scalars())
        return len({entry.name for entry in os.scandir(self._folder / "jobs")} - known)

    def _now(self) -> datetime:
        with self._engine.connect() as connection:
            return connection.execute(select(db_now())).scalar_one()

    def _measure(self) -> str:
        if self._engine.dialect.name == "postgresql":
            return "SELECT pg_database_size(current_database())"
        return "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"


def measure(bench: Bench, jobs: int, days: int) -> None:
    """Let the days pass, and print what was measured."""
    beats = Beats(bench.address, hold(bench.http, HELD))
    steps = days // STEP_DAYS
    begun, course = time.monotonic(), []
    for step in range(1, steps + 1):
        bench.end_jobs(jobs * step // steps - jobs * (step - 1) // steps)
        beats.send(beats.quiet)
        bench.clock.move(STEP_DAYS * DAY)
        _delete(bench, beats)
        course.append(bench.sizes())
        if step % 10 == 0:
            print(f"day {step * STEP_DAYS}: {course[-1]['rows of jobs']:,} jobs", flush=True)
    print(f"\n{jobs:,} jobs in {days} days, kept for {KEEP_DAYS} days: {time.monotonic() - begun:.0f} s", flush=True)
    print(f"folders in the store without a job: {bench.strays()}")
    _report(beats, course)


def _delete(bench: Bench, beats: Beats) -> None:
    """Prune, and send heartbeats until all that is due is deleted."""
    with ThreadPoolExecutor(1) as pool:
        ordered = pool.submit(bench.prune)
        beats.send_until(lambda: ordered.done() and bench.deleted())
        ordered.result()


def _report(beats: Beats, course: list[Sizes]) -> None:
    limit = f"p99 of quiet, limit {LIMIT:g}"
    rows = []
    for name, tally in (("quiet", beats.quiet), ("beside the deletion", beats.beside)):
        median, p99 = tally.quantile(0.5), tally.quantile(0.99)
        ratio = p99 / beats.quiet.quantile(0.99)
        rows.append((name, f"{len(tally.seconds):,}", f"{1000 * median:.1f}", f"{1000 * p99:.1f}", f"{ratio:.2f}"))
    table(("heartbeats", "number", "median ms", "p99 ms", limit), rows)
    early, last = min(EARLY_DAY // STEP_DAYS, len(course)), len(course)
    days = {f"day {step * STEP_DAYS}": course[step - 1] for step in (early, last)}
    most = {name: max(sizes[name] for sizes in course) for name in course[-1]}
    shown = [name for name in most if most[name] > 1]
    table(("size", *days, "most"), [(name, *(f"{d[name]:,}" for d in (*days.values(), most))) for name in shown])


@contextlib.contextmanager
def _running(url: str | None, redis_url: str, redis: Redis) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        url = url or f"sqlite:///{folder}/baton.db"
        migrate(url)
        engine = open_engine(url, migrating=True)  # without the time limits of a service
        stack.callback(engine.dispose)
        file = folder / "clock"
        clock = stack.enter_context(moved_clock(engine, file=file))
        start = partial(running_service, folder, redis_url, ("-m", "bench.clocked_service", str(file)))
        service = stack.enter_context(start(**SETTINGS, BATON_DATABASE_URL=url))
        yield Bench(service, engine, redis, stack.enter_context(service.client()), clock)


def main() -> int:
    """Measure and print. Exit status 0 if it completed, whatever it measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.retention")
    parser.add_argument("--jobs", type=int, default=50_000, help="jobs that end in this time")
    parser.add_argument("--days", type=int, default=YEAR_DAYS, help=f"the time, in steps of {STEP_DAYS} days")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    heading(f"a year of jobs with a retention of {KEEP_DAYS} days, on {options.database}")
    with running_redis() as redis, contextlib.ExitStack() as stack:
        url = None
        if options.database == "postgresql":
            server = stack.enter_context(running_postgres())
            url = server.url(server.create())
        measure(stack.enter_context(_running(url, redis.url, redis.client())), options.jobs, options.days)
    return 0


if __name__ == "__main__":
    sys.exit(main())
