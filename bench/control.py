"""`make bench-control`: what one service process on one core answers, on SQLite and PostgreSQL, beside a bare route.

The service and the bare route (bench.floor_app) are pinned to the same core and take turns, round by round; the load
comes from another core where there is one. A rate is the median of the rounds.
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
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import Engine, create_engine, text

from bench import crowd
from bench.figures import heading, table
from bench.handover import instant, until
from bench.http_load import Tally, Target, at_intervals, closed_loop
from bench.simulated import Held, hold
from tests.support.jobs import Jobs, tiny
from tests.support.postgres import running_postgres
from tests.support.redis import free_port, running_redis
from tests.support.service import ROOT, TOKEN, ServiceProcess, running_service
from tests.support.worker import workers

HELD, BEAT_SECONDS = 100, 10.0
FLOOR_SHARE, LIST_RATIO, BEAT_P99 = 0.6, 2.0, 0.1
LISTS = {"newest 50": "", "by status": "?status=succeeded", "by label": "?label=team:team-7"}


@contextlib.contextmanager
def _floor(url: str) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench.floor_app", str(port), url]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until(lambda: _answers_at(port), "answer of the bare route", 30.0)
        _pin(process.pid)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers_at(port: int) -> bool | None:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/openapi.json").is_success or None
    return None


def _pin(pid: int) -> None:
    """The measured process and its threads on the first core; the load on the others."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores[:1])


@dataclass(frozen=True)
class Scale:
    """How much is measured. `few`, `many`: jobs in the table, with ten epochs each; `workers` that renew leases."""

    rounds: int = 5
    round_seconds: float = 2.0
    few: int = 1_000
    many: int = 100_000
    workers: int = 1_000
    beats: int = 3
    claims: int = 10


QUICK = Scale(rounds=1, round_seconds=0.5, few=200, many=400, workers=50, beats=1, claims=1)


@dataclass
class Bench:
    """One database, the service on it, and what was found."""

    name: str
    scale: Scale
    service: ServiceProcess
    engine: Engine
    rows: list[tuple[str, ...]]
    misses: list[str]

    @property
    def target(self) -> Target:
        """The service."""
        return Target(self.service.port, TOKEN)

    def judge(self, what: str, value: float, limit: float, *, at_least: bool) -> None:
        """Writes down a target and whether it is met."""
        met = value >= limit if at_least else value <= limit
        line = f"{self.name}: {what} = {value:.3g}, target {'at least' if at_least else 'at most'} {limit:g}: "
        print(line + ("met" if met else "MISSED"), flush=True)
        if not met:
            self.misses.append(line)


def _rates(bench: Bench, calls: dict[str, tuple[int, int, Callable[[int], bytes]]]) -> dict[str, float]:
    """Median answers a second of each call, all in turn in each round: port, status to expect, request."""
    found: dict[str, list[Tally]] = {name: [] for name in calls}
    for _ in range(bench.scale.rounds):
        for name, (port, status, make) in calls.items():
            found[name].append(closed_loop(port, make, bench.scale.round_seconds).expect(status))
    for name, tallies in found.items():
        rates = [tally.rate for tally in tallies]
        p99 = statistics.median(tally.quantile(0.99) for tally in tallies)
        share = statistics.median(rates) / statistics.median(t.rate for t in found["floor"])
        spread = f"{min(rates):.0f}-{max(rates):.0f}"
        bench.rows.append((name, f"{statistics.median(rates):.0f}", spread, f"{1000 * p99:.1f}", f"{share:.2f}"))
    return {name: statistics.median(tally.rate for tally in tallies) for name, tallies in found.items()}


def _answers(bench: Bench) -> None:
    target, spec = bench.target, json.dumps(tiny()).encode()
    with bench.service.client() as http, _floor(bench.service.database_url) as floor:
        held = hold(http, HELD)
        tags = {one.job: http.get(f"/v1/jobs/{one.job}").headers["etag"] for one in held}
        bare = Target(floor, TOKEN)
        hit = [target.request("GET", f"/v1/jobs/{one.job}", If_None_Match=tags[one.job]) for one in held]
        miss = [target.request("GET", f"/v1/jobs/{one.job}") for one in held]
        rates = _rates(
            bench,
            {
                "floor": (floor, 200, lambda k: bare.request("GET", f"/jobs/{1 + k % HELD}")),
                "status poll, ETag hit": (target.port, 304, lambda k: hit[k % HELD]),
                "status poll, ETag miss": (target.port, 200, lambda k: miss[k % HELD]),
                "submit": (target.port, 201, lambda _: target.request("POST", "/v1/jobs", spec)),
            },
        )
        _beats(bench, held, floor)
    for name in ("status poll, ETag hit", "status poll, ETag miss"):
        bench.judge(f"{name} / floor", rates[name] / rates["floor"], FLOOR_SHARE, at_least=True)


def _beats(bench: Bench, held: list[Held], floor: int) -> None:
    # After the polls, because a heartbeat is a new version of its job and would make each hit a miss.
    bare, beats = Target(floor, TOKEN), [one.beat(bench.target, 30) for one in held]
    calls = {
        "floor": (floor, 200, lambda k: bare.request("GET", f"/jobs/{1 + k % HELD}")),
        "heartbeat": (bench.service.port, 200, lambda k: beats[k % HELD]),
    }
    there = len(bench.rows)
    _rates(bench, calls)
    del bench.rows[there]  # the floor, once more


def _fleet(bench: Bench) -> None:
    """A thousand workers that renew their leases as they do by default."""
    with bench.service.client() as http:
        held = hold(http, bench.scale.workers)
    beats = [one.beat(bench.target, 10) for one in held]
    tally = at_intervals(bench.service.port, beats, BEAT_SECONDS, bench.scale.beats).expect(200)
    figures = f"{1000 * tally.quantile(0.5):.1f} ms median, {1000 * tally.quantile(0.99):.1f} ms p99"
    print(f"{bench.name}: {len(beats)} workers, a heartbeat each {BEAT_SECONDS:g} s: {tally.rate:.0f}/s, {figures}")
    bench.judge("p99 of these heartbeats, seconds", tally.quantile(0.99), BEAT_P99, at_least=False)


def _lists(bench: Bench) -> None:
    """The same lists with a thousand jobs and with a hundred thousand (and a million epochs)."""
    found: dict[int, dict[str, float]] = {}
    sizes = (bench.scale.few, bench.scale.many)
    for jobs in sizes:
        crowd.grow(bench.engine, jobs)
        _settle(bench.engine)
        found[jobs] = {name: _list(bench, query) for name, query in LISTS.items()}
    for name in LISTS:
        few, many = (found[jobs][name] for jobs in sizes)
        p99 = " and ".join(f"{1000 * p:.1f} ms with {jobs:,}" for p, jobs in zip((few, many), sizes, strict=True))
        print(f"{bench.name}: list, {name}: p99 {p99} jobs")
        bench.judge(f"list, {name}: p99 with {sizes[1]:,} / with {sizes[0]:,}", many / few, LIST_RATIO, at_least=False)


def _settle(engine: Engine) -> None:
    """What a database does by itself some time after so many new rows is over before anything is measured."""
    words = {"postgresql": "VACUUM ANALYZE", "sqlite": "PRAGMA wal_checkpoint(TRUNCATE)"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(words[engine.dialect.name]))


def _list(bench: Bench, query: str) -> float:
    """Its p99 in seconds: the median of the rounds, for a hiccup of the machine is in one of them alone."""
    request = bench.target.request("GET", f"/v1/jobs{query}")
    closed_loop(bench.service.port, lambda _: request, 1.0, connections=1)
    rounds = [closed_loop(bench.service.port, lambda _: request, 2.0, connections=1) for _ in range(bench.scale.rounds)]
    return statistics.median(tally.expect(200).quantile(0.99) for tally in rounds)


def _claims(bench: Bench, folder: Path) -> None:
    """From the submission to the claim by a worker that waits warm; both times are the database's."""
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


def _renumber(engine: Engine) -> None:
    """PostgreSQL counts on from what was inserted with numbers of our own."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            for name in ("jobs", "checkpoints"):
                last = f"(SELECT max(number) FROM {name})"
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'number'), {last})"))


def _measure(name: str, url: str | None, redis_url: str, scale: Scale) -> list[str]:
    settings = {"BATON_DATABASE_URL": url} if url else {}
    # No lease runs out while a worker of the bench waits its turn.
    settings |= {"BATON_LEASE_SECONDS": "3600", "BATON_HEARTBEAT_SECONDS": "10"}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="baton-bench-")))
        service = stack.enter_context(running_service(folder, redis_url, **settings))
        assert service.process is not None
        service.database_url = url or service.database_url
        bench = Bench(name, scale, service, create_engine(service.database_url), [], [])
        stack.callback(bench.engine.dispose)
        _claims(bench, folder)
        _pin(service.process.pid)
        _answers(bench)
        table((name, "per second", "lowest-highest", "p99 ms", "of floor"), bench.rows)
        _lists(bench)
        _renumber(bench.engine)
        _fleet(bench)
        return bench.misses


def main() -> int:
    """Measures and prints; exit status 0 where it came to its end, whatever it measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.control")
    parser.add_argument("--quick", action="store_true", help="few rows and short rounds: does it run?")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    options = parser.parse_args()
    wanted, scale = options.database, QUICK if options.quick else Scale()
    heading(f"control plane: one service process on one core; {scale.rounds} rounds of {scale.round_seconds:g} s each")
    misses: list[str] = []
    with running_redis() as redis:
        if wanted != "postgresql":
            misses += _measure("SQLite", None, redis.url, scale)
        if wanted != "sqlite":
            with running_postgres() as server:
                misses += _measure("PostgreSQL", server.url(server.create()), redis.url, scale)
    print(f"{len(misses)} targets missed" if misses else "all targets met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
