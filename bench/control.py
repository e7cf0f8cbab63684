"""`make bench-control`: the throughput of one service process on one core, compared with a bare route.

It runs on SQLite and PostgreSQL. The service and the bare route (bench.floor_app) are pinned to the same core and
alternate in each round. The load comes from another core if the machine has one. A rate is the median of the rounds.
Then, on another database, the benchmark compares each call on an empty service and after a year of use (bench.year). It
prints ratios that exceed their limits; they are not errors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from bench.crowd import SMALL, Year
from bench.figures import heading, table
from bench.handover import instant, until
from bench.http_load import Tally, Target, at_intervals, closed_loop
from bench.simulated import Held, hold
from bench.year import Patient, compare
from service.db.engine import open_engine
from tests.support.jobs import Jobs, tiny
from tests.support.postgres import running_postgres
from tests.support.redis import free_port, running_redis
from tests.support.service import ROOT, TOKEN, ServiceProcess, running_service
from tests.support.worker import workers

HELD, BEAT_SECONDS = 100, 10.0
FLOOR_SHARE, BEAT_P99 = 0.6, 0.1
AIMS = {"heartbeat": 0.3, "submit": 0.2}
"""Targets, as shares of the bare route's rate."""

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A measured process."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of processor time of this process. The load of other processes does not change it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def _floor(url: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "bench.floor_app", str(port), url]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until(lambda: _answers_at(port), "answer of the bare route", 30.0)
        _pin(process.pid)
        yield Server(port, process.pid)
    finally:
        process.kill()
        process.wait()


def _answers_at(port: int) -> bool | None:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/openapi.json").is_success or None
    return None


def _pin(pid: int) -> None:
    """Pin the process and its threads to the first core. The load runs on the others."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores[:1])


@dataclass(frozen=True)
class Scale:
    """The size of the measurement. Each of `workers` renews its lease `beats` times. `year`: rows of a year of use."""

    rounds: int = 5
    round_seconds: float = 2.0
    workers: int = 1_000
    beats: int = 3
    claims: int = 10
    year: Year = field(default_factory=Year)


QUICK = Scale(rounds=1, round_seconds=0.5, workers=50, beats=1, claims=1, year=SMALL)


@dataclass
class Bench:
    """One database, the service on it, and the results."""

    name: str
    scale: Scale
    service: ServiceProcess
    rows: list[tuple[str, ...]]
    misses: list[str]

    @property
    def target(self) -> Target:
        """The service's routes."""
        return Target(self.service.port, TOKEN)

    @property
    def server(self) -> Server:
        """The service's process."""
        assert self.service.process is not None
        return Server(self.service.port, self.service.process.pid)

    def judge(self, what: str, value: float, limit: float, *, at_least: bool) -> None:
        """Print a target and whether the value meets it."""
        met = value >= limit if at_least else value <= limit
        line = f"{self.name}: {what} = {value:.3g}, target {'at least' if at_least else 'at most'} {limit:g}: "
        print(line + ("met" if met else "MISSED"), flush=True)
        if not met:
            self.misses.append(line)


Calls = dict[str, tuple[Server, int, Callable[[int], bytes]]]
"""By name: the server, the expected status, and a function that returns request number k."""


def _rates(bench: Bench, calls: Calls) -> dict[str, float]:
    """Median answers per second of each call. Each round measures all calls in turn."""
    found: dict[str, list[Tally]] = {name: [] for name in calls}
    cpu = dict.fromkeys(calls, 0.0)
    for _ in range(bench.scale.rounds):
        for name, (server, status, make) in calls.items():
            before = server.cpu()
            found[name].append(closed_loop(server.port, make, bench.scale.round_seconds).expect(status))
            cpu[name] += server.cpu() - before
    each = {name: cpu[name] / sum(len(tally.seconds) for tally in tallies) for name, tallies in found.items()}
    rates = {name: statistics.median(tally.rate for tally in tallies) for name, tallies in found.items()}
    for name, tallies in found.items():
        p99 = statistics.median(tally.quantile(0.99) for tally in tallies)
        spread = f"{min(tally.rate for tally in tallies):.0f}-{max(tally.rate for tally in tallies):.0f}"
        shares = (
            f"{rates[name] / rates['floor']:.2f}",
            f"{1000 * each[name]:.2f}",
            f"{each['floor'] / each[name]:.2f}",
        )
        bench.rows.append((name, f"{rates[name]:.0f}", spread, f"{1000 * p99:.1f}", *shares))
    return rates


def _answers(bench: Bench) -> None:
    target, spec = bench.target, json.dumps(tiny()).encode()
    with bench.service.client() as http, _floor(bench.service.database_url) as floor:
        held = hold(http, HELD)
        tags = {one.job: http.get(f"/v1/jobs/{one.job}").headers["etag"] for one in held}
        bare, server = Target(floor.port, TOKEN), bench.server
        hit = [target.request("GET", f"/v1/jobs/{one.job}", If_None_Match=tags[one.job]) for one in held]
        miss = [target.request("GET", f"/v1/jobs/{one.job}") for one in held]
        rates = _rates(
            bench,
            {
                "floor": (floor, 200, lambda k: bare.request("GET", f"/jobs/{1 + k % HELD}")),
                "status poll, ETag hit": (server, 304, lambda k: hit[k % HELD]),
                "status poll, ETag miss": (server, 200, lambda k: miss[k % HELD]),
                "submit": (server, 201, lambda _: target.request("POST", "/v1/jobs", spec)),
            },
        )
        rates |= {"heartbeat": _beats(bench, held, floor)}
    for name, share in AIMS.items():
        bench.judge(f"{name} / floor", rates[name] / rates["floor"], share, at_least=True)
    for name in ("status poll, ETag hit", "status poll, ETag miss"):
        bench.judge(f"{name} / floor", rates[name] / rates["floor"], FLOOR_SHARE, at_least=True)


def _beats(bench: Bench, held: list[Held], floor: Server) -> float:
    """Heartbeats per second, scaled to the rate of the floor in the first rounds."""
    # Call this after the polls are measured. A heartbeat makes a new version of its job, so polls would then miss the
    # cache.
    bare, beats = Target(floor.port, TOKEN), [one.beat(bench.target, 30) for one in held]
    calls: Calls = {
        "floor": (floor, 200, lambda k: bare.request("GET", f"/jobs/{1 + k % HELD}")),
        "heartbeat": (bench.server, 200, lambda k: beats[k % HELD]),
    }
    there, before = len(bench.rows), float(bench.rows[0][1])
    rates = _rates(bench, calls)
    del bench.rows[there]  # the second row of the bare route, which is measured already
    return rates["heartbeat"] / rates["floor"] * before


def _fleet(bench: Bench) -> None:
    """A thousand workers that renew their leases at the default interval."""
    with bench.service.client() as http:
        held = hold(http, bench.scale.workers)
    beats = [one.beat(bench.target, 10) for one in held]
    tally = at_intervals(bench.service.port, beats, BEAT_SECONDS, bench.scale.beats).expect(200)
    figures = f"{1000 * tally.quantile(0.5):.1f} ms median, {1000 * tally.quantile(0.99):.1f} ms p99"
    print(f"{bench.name}: {len(beats)} workers, a heartbeat each {BEAT_SECONDS:g} s: {tally.rate:.0f}/s, {figures}")
    bench.judge("p99 of these heartbeats, seconds", tally.quantile(0.99), BEAT_P99, at_least=False)


def _claims(bench: Bench, folder: Path) -> None:
    """Time from the submission to the claim by a warm worker that waits for work, by the database's clock."""
    with workers(bench.service, folder, "tests.support.fake_worker") as made, bench.service.client() as http:
        made.start(BATON_FAKE_STEP_SECONDS="0")
        waits = [_wait_for_claim(Jobs(http)) for _ in range(bench.scale.claims + 2)][2:]
    spread = f"{1000 * min(waits):.0f}-{1000 * max(waits):.0f}"
    print(f"{bench.name}: submit to claimed: {1000 * statistics.median(waits):.0f} ms median ({spread})", flush=True)


def _wait_for_claim(jobs: Jobs) -> float:
    job = jobs.submit(tiny())
    jobs.await_end(job)
    time.sleep(3.0)  # until the worker's next training process is warm
    row = jobs.items(job, "attempts")[0]
    return instant(row["claimed_at"]) - instant(row["created_at"])


@contextlib.contextmanager
def _pinned(url: str | None, redis_url: str) -> Iterator[tuple[ServiceProcess, Path]]:
    """A new service, not pinned yet, and its folder."""
    settings = {"BATON_DATABASE_URL": url} if url else {}
    # Long leases: no lease may expire while a simulated worker is idle.
    settings |= {"BATON_LEASE_SECONDS": "3600", "BATON_HEARTBEAT_SECONDS": "10"}
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
        folder = Path(name)
        with running_service(folder, redis_url, **settings) as service:
            service.database_url = url or service.database_url
            yield service, folder


def _measure(name: str, url: str | None, redis_url: str, scale: Scale) -> list[str]:
    """Measure throughput and latency."""
    with _pinned(url, redis_url) as (service, folder):
        bench = Bench(name, scale, service, [], [])
        _claims(bench, folder)
        _pin(bench.server.pid)
        _answers(bench)
        columns = (name, "per second", "lowest-highest", "p99 ms", "of floor", "cpu ms", "of floor's cpu")
        table(columns, bench.rows)
        _fleet(bench)
        return bench.misses


def _year(name: str, url: str | None, redis_url: str, scale: Scale) -> list[str]:
    """Measure the cost of age and backlog."""
    with _pinned(url, redis_url) as (service, _), service.client() as http:
        assert service.process is not None
        _pin(service.process.pid)
        engine = open_engine(service.database_url, migrating=True)  # without the time limits of a service
        try:
            return compare(Patient(name, service, engine, http, scale.rounds), scale.year)
        finally:
            engine.dispose()


def main() -> int:
    """Measure and print. Exit status 0 if it completed, even if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.control")
    parser.add_argument("--quick", action="store_true", help="few rows and short rounds, to try the benchmark")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--only", choices=("answers", "year"), help="only this part")
    parser.add_argument("--year", action="store_true", help="10 million events instead of 1 million (needs 4 GB)")
    parser.add_argument("--events", type=int, help="another number of events")
    options = parser.parse_args()
    scale = QUICK if options.quick else Scale()
    events = options.events or (10_000_000 if options.year else scale.year.events)
    scale = replace(scale, year=replace(scale.year, events=events))
    parts = [part for key, part in (("answers", _measure), ("year", _year)) if options.only in (None, key)]
    heading(f"control plane: one service process on one core; {scale.rounds} rounds of {scale.round_seconds:g} s each")
    misses: list[str] = []
    with running_redis() as redis:
        for part in parts:
            if options.database != "postgresql":
                misses += part("SQLite", None, redis.url, scale)
            if options.database != "sqlite":
                with running_postgres() as server:
                    misses += part("PostgreSQL", server.url(server.create()), redis.url, scale)
            redis.client().flushall()
    print(f"{len(misses)} targets missed" if misses else "all targets met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
