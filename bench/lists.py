"""`make bench-lists`: each filter and each sort of the job list, with 1,000 and with 100,000 jobs.

Two services run on databases of the two sizes, SQLite and then PostgreSQL, and are asked in turn, so that other load on
the machine disturbs both. A figure is the median over the rounds, and p99 of a round is that of its calls. The target
is a p99 with many jobs of at most RATIO times the p99 with few. A first page is asked, and a page in the middle.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, insert, select, text

from bench.figures import heading, table
from bench.http_load import Target, one_by_one
from bench.year import Figure
from service.db.engine import open_engine
from service.db.tables import Job, JobLabel, JobMetric
from tests.support.jobs import tiny
from tests.support.postgres import running_postgres
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

FEW, MANY = 1_000, 100_000
RATIO = 2.0
CHUNK = 5_000
NOW = datetime.now(UTC)
PAGE = 10
"""Jobs of a page: so few, that most filters have a full page with 1,000 jobs too."""

RARE = 5
"""Jobs that match a rare filter, in both databases. They are the oldest."""


def _ago(days: float) -> str:
    return quote((NOW - timedelta(days=days)).isoformat())


FILTERS = {
    "none": "",
    "status, one": "status=succeeded",
    "status, a rare one": "status=paused",
    "status, three": "status=failed&status=cancelled&status=queued",
    "label": "label=team:t7",
    "labels, two": "label=team:t7&label=tier:one",
    "label and status": "label=team:t7&status=failed",
    "label, a rare one": "label=rare:yes",
    "name": "name=net-7",
    "name, a rare one": "name=rare",
    "name, a prefix": "name=net-1*",
    "name, a rare prefix": "name=rar*",
    "id, a prefix": "id=a",
    "queue": "queue=gpu",
    "owner": "owner=ada",
    "project": "project=vision",
    "created after": f"created_after={_ago(30)}",
    "created before": f"created_before={_ago(180)}",
    "created between": f"created_after={_ago(200)}&created_before={_ago(180)}",
    "ended after": f"ended_after={_ago(30)}",
    "ended before": f"ended_before={_ago(180)}",
    "metric": f"metric={quote('val_loss<0.5')}",
    "metric, few": f"metric={quote('val_loss<0.02')}",
    "metric, best": f"metric={quote('best:val_accuracy>=0.7')}",
    "label, created after": f"label=team:t7&created_after={_ago(30)}",
    "five filters": f"status=succeeded&label=tier:one&queue=gpu&created_after={_ago(300)}&metric={quote('loss<0.9')}",
}
SORTS = {
    f"sort {sign}{key}": f"sort={sign}{quote(key)}"
    for key in ("created", "ended", "name", "status", "metric:val_loss", "metric:best:val_accuracy")
    for sign in ("", "-")
}
BOTH = {"owner, sort name": "owner=ada&sort=name", "status, sort metric": "status=failed&sort=metric:val_loss"}


@dataclass(frozen=True)
class Side:
    """A service on a database of one size. `calls`: the request by its name."""

    service: ServiceProcess
    calls: dict[str, bytes]


@contextlib.contextmanager
def _side(url: str | None, redis_url: str, jobs: int, only: str) -> Iterator[Side]:
    settings = {"BATON_DATABASE_URL": url} if url else {}
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        # No reconciler: nothing else may use the database.
        settings |= {"BATON_CONDUCTOR_SECONDS": "0", "BATON_LEASE_SECONDS": "3600"}
        with running_service(Path(folder), redis_url, **settings) as service:
            with service.client() as http:
                http.post("/v1/jobs", json=tiny(name="net-0")).raise_for_status()
            engine = open_engine(url or service.database_url, migrating=True)
            _fill(engine, jobs - 1)
            engine.dispose()
            yield Side(service, _calls(service, only))


def _fill(engine: Engine, many: int) -> None:
    """Copy the only job, with other properties, spread over a year. Shares do not depend on the number of jobs."""
    with engine.connect() as connection:
        template = dict(connection.execute(select(Job.__table__)).mappings().one())
    first = template.pop("number") + 1
    for start in range(0, many, CHUNK):
        rows = range(start, min(start + CHUNK, many))
        with engine.begin() as connection:
            connection.execute(insert(Job), [_job(template, first, k, many) for k in rows])
            connection.execute(insert(JobLabel), [one for k in rows for one in _labels(first + k, k)])
            connection.execute(insert(JobMetric), [one for k in rows for one in _metrics(first + k, k)])
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _drawn(k: int, salt: int) -> float:
    """A number in [0, 1) that looks random, without state."""
    return ((k + 1) * 2_654_435_761 * (2 * salt + 1) % 2**32) / 2**32


def _job(template: dict[str, Any], first: int, k: int, many: int) -> dict[str, Any]:
    created = NOW - timedelta(days=365 * (1 - k / many))
    share = _drawn(k, 1)
    states = (("succeeded", 0.8), ("failed", 0.9), ("cancelled", 0.95), ("queued", 1.0))
    state = "paused" if k < RARE else next(state for state, below in states if share < below)
    return {
        **template,
        "number": first + k,
        "id": f"{int(_drawn(k, 2) * 16):x}{k:031x}",
        "name": "rare" if k < RARE else f"net-{int(_drawn(k, 3) * 50)}",
        "queue": "gpu" if _drawn(k, 4) < 0.1 else "default",
        "owner": ("ada", "bob", "eve", "kim", "max")[int(_drawn(k, 5) * 5)],
        "project": ("default", "vision", "speech")[int(_drawn(k, 6) * 3)],
        "state": state,
        "desired": "pause" if state == "paused" else "run",
        "created_at": created,
        "finished_at": created + timedelta(hours=1) if state in {"succeeded", "failed", "cancelled"} else None,
    }


def _labels(number: int, k: int) -> Iterator[dict[str, Any]]:
    found = {"team": f"t{int(_drawn(k, 7) * 10)}", "tier": ("one", "two")[int(_drawn(k, 8) * 2)]}
    for key, value in (found | ({"rare": "yes"} if k < RARE else {})).items():
        yield {"job_number": number, "key": key, "value": value}


def _metrics(number: int, k: int) -> Iterator[dict[str, Any]]:
    for salt, name in enumerate(("val_loss", "best:val_accuracy", "loss", "accuracy"), start=9):
        yield {"job_number": number, "name": name, "value": _drawn(k, salt)}


def _calls(service: ServiceProcess, only: str) -> dict[str, bytes]:
    """Each query, for its first page and for one in the middle."""
    target, found = Target(service.port, TOKEN), {}
    with service.client() as http:
        for name, query in {**FILTERS, **SORTS, **BOTH}.items():
            if only not in name:
                continue
            path = f"/v1/jobs?limit={PAGE}&{query}"
            found[name] = target.request("GET", path)
            cursor = None
            for _ in range(3):
                page = http.get(f"{path}{f'&cursor={cursor}' if cursor else ''}").raise_for_status().json()
                if page["next_cursor"] is None:
                    break
                cursor = page["next_cursor"]
            if cursor is not None:
                found[f"{name}, later page"] = target.request("GET", f"{path}&cursor={cursor}")
    return found


def _measure(name: str, sides: Sequence[Side], rounds: int, calls: int) -> list[str]:
    few, many = sides
    rows, misses = [], []
    for call in few.calls.keys() & many.calls.keys():
        tallies: tuple[list[Any], list[Any]] = ([], [])
        for _ in range(rounds):
            for side, found in zip(sides, tallies, strict=True):
                found.append(one_by_one(side.service.port, [side.calls[call]] * calls).expect(200))
        a, b = (Figure.of(found) for found in tallies)
        ratio = b.p99 / a.p99
        ms = (f"{1000 * value:.1f}" for value in (a.median, b.median, a.p99, b.p99))
        rows.append((call, *ms, f"{b.median / a.median:.2f}", f"{ratio:.2f}"))
        misses += [f"{name}: {call}: p99 x {ratio:.2f}"] if ratio > RATIO else []
    order = list(many.calls)
    rows.sort(key=lambda row: order.index(row[0]))
    table((name, "median ms", f"{MANY:,}", "p99 ms", f"{MANY:,}", "median x", "p99 x"), rows)
    return misses


def main() -> int:
    """Measure and print. Exit status 0 if it completed, even if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.lists")
    parser.add_argument("--quick", action="store_true", help="few jobs and calls, to try the benchmark")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the queries with this in their names")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each call")
    parser.add_argument("--calls", type=int, default=25, help="repetitions of a call in a round")
    options = parser.parse_args()
    few, many, rounds, calls = (50, 500, 1, 3) if options.quick else (FEW, MANY, options.rounds, options.calls)
    heading(f"lists of {few:,} and of {many:,} jobs: {rounds} rounds of {calls} calls each")
    misses: list[str] = []
    only = options.only
    with running_redis() as redis, contextlib.ExitStack() as stack:
        for name in ("SQLite", "PostgreSQL"):
            if options.database in (None, name.lower()):
                server = stack.enter_context(running_postgres()) if name == "PostgreSQL" else None
                urls = [server.url(server.create()) if server else None for _ in range(2)]
                with _side(urls[0], redis.url, few, only) as small, _side(urls[1], redis.url, many, only) as large:
                    misses += _measure(name, (small, large), rounds, calls)
    print("\n".join(misses) or f"all targets met: p99 at most x {RATIO:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
