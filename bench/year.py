"""Measures the cost of age and backlog: the same calls on an empty service and after a year of use, in one run."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine, func, select

from baton.storage import BlobStore, open_store
from bench.crowd import TEAM, Crowd, Year, settle
from bench.figures import table
from bench.http_load import Tally, Target, at_intervals, closed_loop, one_by_one
from bench.simulated import Held, hold, worker_info
from service.api.context import Services
from service.app import create_app
from service.db.base import IS_LIVE
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.metrics.database_numbers import read
from service.reconciler.loop import Reconciler, Step
from service.settings import Settings
from tests.support.jobs import tiny
from tests.support.service import TOKEN, ServiceProcess

AGED, HELD, PASSES, CALLS = 50, 100, 20, 100
BEAT_SECONDS, BEATS = 1.0, 4
WARM_SECONDS, ROUND_SECONDS = 0.3, 1.5
PATIENCE = 10.0
RATIO = 2.0
LISTS = {"newest 50": "", "by status": "?status=succeeded", "by label": f"?label=team:{TEAM}"}
LIMITED = ("a pass", "heartbeat", *(f"list, {name}" for name in LISTS))


@dataclass(frozen=True)
class Figure:
    """Duration of a call in seconds."""

    median: float
    p99: float

    @classmethod
    def of(cls, tallies: list[Tally]) -> Figure:
        """The medians of the rounds. So a disturbance of one round does not change them."""
        return cls(*(statistics.median(tally.quantile(q) for tally in tallies) for q in (0.5, 0.99)))


@dataclass(frozen=True)
class Patient:
    """A measured service, with direct connections of this process to its database, Redis and store."""

    name: str
    service: ServiceProcess
    engine: Engine
    http: httpx.Client
    rounds: int

    @property
    def target(self) -> Target:
        """Address and token of its routes."""
        return Target(self.service.port, TOKEN)

    @property
    def store(self) -> BlobStore:
        """Its store."""
        return open_store(self.service.store_url)


def compare(patient: Patient, year: Year) -> list[str]:
    """Measure both states and print the results. Returns a line for each limit that is exceeded."""
    crowd = Crowd(patient.engine, patient.http, patient.store)
    held = hold(patient.http, HELD)
    crowd.aged(AGED)
    with _parts(patient) as app:
        empty = _measure(patient, app, held, first=1)
        begun = time.monotonic()
        crowd.grow(year)
        crowd.retire(held[0].job, year.retired)
        settle(patient.engine)
        print(f"{patient.name}: {_words(year)} added in {time.monotonic() - begun:.0f} s", flush=True)
        _await_rest(patient)
        full = _measure(patient, app, held, first=1_000)
    return _report(patient.name, empty, full)


def _words(year: Year) -> str:
    return (
        f"{year.ended:,} ended and {year.queued:,} queued jobs, {year.aged} with {year.attempts} attempts each, "
        f"{year.events:,} events, {year.workers:,} dead workers, {year.retired:,} deleted checkpoints of one job"
    )


@contextmanager
def _parts(patient: Patient) -> Iterator[FastAPI]:
    """The parts of a service in this process, on the same rows. Its threads are not started."""
    found = patient.service
    settings = Settings(
        token=TOKEN,
        database_url=found.database_url,
        redis_url=found.redis_url,
        store=found.store_url,
        conductor_seconds=0,
        lease_seconds=3600,
    )
    app = create_app(settings)
    yield app
    app.state.services.reconciler.stop()
    app.state.services.database.close()


def _measure(patient: Patient, app: FastAPI, held: list[Held], first: int) -> dict[str, Figure]:
    """The figures by name of the call. `first`: the lowest step of the checkpoints that are committed."""
    found = _passes(app.state.services.reconciler)
    found["heartbeat"] = _beats(patient, held)
    reads = {
        **{f"list, {name}": f"/v1/jobs{query}" for name, query in LISTS.items()},
        "workers": "/v1/workers",
        "demand of a queue (KEDA)": "/v1/queues/default",
        "/readyz": "/readyz",
    }
    for name, path in reads.items():
        found[name] = _loop(patient, [path])
    jobs = [f"/v1/jobs/{one.job}" for one in held]
    found["a job"] = _loop(patient, jobs)
    found["checkpoints of a job"] = _loop(patient, [f"{jobs[0]}/checkpoints"])
    found["metrics, read again"] = _timed(partial(_read_metrics, app.state.services), PASSES)
    found["commit"] = _commits(patient, held[0], first)
    found["claim"] = _claims(patient)
    spec = json.dumps(tiny()).encode()
    submits = [patient.target.request("POST", "/v1/jobs", spec)] * CALLS
    found["submit"] = Figure.of([one_by_one(patient.service.port, submits).expect(201)])
    return found


def _passes(reconciler: Reconciler) -> dict[str, Figure]:
    """Times of a whole pass of the reconciler, and of the part of each of its threads."""
    threads = {
        "leases": reconciler.quick,
        "dispatch": reconciler.sending,
        "publishing": reconciler.publishing,
        "deleting": reconciler.deleting,
        "sweeping": reconciler.sweeping,
        "notifications": reconciler.telling,
    }
    reconciler.run_once()  # so that nothing is due in the measured passes
    found = {"a pass": _timed(reconciler.run_once, PASSES)}
    for name, steps in threads.items():
        found[f"a pass: {name}"] = _timed(partial(_run, steps), PASSES)
    return found


def _run(steps: list[Step]) -> None:
    for step in steps:
        step.run(forced=True)


def _read_metrics(services: Services) -> None:
    """Read the values of /metrics from the database. A replica does this at most once every few seconds."""
    with services.database.read() as session:
        read(Unit(session), services.settings.limits, services.settings.lost_after)


def _timed(call: Callable[[], object], times: int) -> Figure:
    """The figure of `times` calls, or of as many as begin within PATIENCE seconds."""
    tally, end = Tally(), time.perf_counter() + PATIENCE
    for _ in range(times):
        begun = time.perf_counter()
        if begun > end:
            break
        call()
        tally.seconds.append(time.perf_counter() - begun)
    return Figure.of([tally])


def _beats(patient: Patient, held: list[Held]) -> Figure:
    """Heartbeats of workers at no more than half the rate that one process can handle."""
    beats = [one.beat(patient.target, 30) for one in held]
    rounds = [at_intervals(patient.service.port, beats, BEAT_SECONDS, BEATS).expect(200) for _ in range(patient.rounds)]
    return Figure.of(rounds)


def _loop(patient: Patient, paths: list[str]) -> Figure:
    """GET requests in sequence, over one connection."""
    requests, port = [patient.target.request("GET", path) for path in paths], patient.service.port

    def make(k: int) -> bytes:
        return requests[k % len(requests)]

    closed_loop(port, make, WARM_SECONDS, connections=1)
    rounds = [closed_loop(port, make, ROUND_SECONDS, connections=1).expect(200) for _ in range(patient.rounds)]
    return Figure.of(rounds)


def _commits(patient: Patient, one: Held, first: int) -> Figure:
    path = f"/v1/attempts/{one.attempt}/checkpoints"
    bodies = [one.commit(patient.store, step) for step in range(first, first + CALLS)]
    requests = [patient.target.request("POST", path, json.dumps(body).encode()) for body in bodies]
    return Figure.of([one_by_one(patient.service.port, requests).expect(201)])


def _claims(patient: Patient) -> Figure:
    requests = []
    for number in range(CALLS):
        job = patient.http.post("/v1/jobs", json=tiny(name=f"claimed-{number}")).json()["id"]
        attempt = patient.http.get(f"/v1/jobs/{job}/attempts").json()["items"][0]["id"]
        worker = worker_info(f"claimant-{number}", number)
        body = json.dumps({"claim_id": uuid.uuid4().hex, "worker": worker}).encode()
        requests.append(patient.target.request("POST", f"/v1/attempts/{attempt}/claim", body))
    return Figure.of([one_by_one(patient.service.port, requests).expect(200)])


def _await_rest(patient: Patient, seconds: float = 60.0) -> None:
    """Wait until the service sends no more of the backlog to Redis: it sends only a limited part."""
    end, before = time.monotonic() + seconds, -1
    while time.monotonic() < end:
        with patient.engine.connect() as connection:
            sent = select(func.count()).select_from(Attempt).where(IS_LIVE, Attempt.dispatched_at.is_not(None))
            now = connection.execute(sent).scalar_one()
        if now == before:
            return
        before = now
        time.sleep(3.0)


def _report(name: str, empty: dict[str, Figure], full: dict[str, Figure]) -> list[str]:
    rows, misses = [], []
    for call, a in empty.items():
        b = full[call]
        ratios = (b.median / a.median, b.p99 / a.p99)
        ms = (f"{1000 * value:.1f}" for value in (a.median, b.median, a.p99, b.p99))
        rows.append((call, *ms, *(f"{ratio:.2f}" for ratio in ratios)))
        if call in LIMITED:
            ratio = ratios[0] if call == "a pass" else ratios[1]
            line = f"{name}: {call}: year / empty = {ratio:.2f}, limit {RATIO:g}: "
            print(line + ("under" if ratio <= RATIO else "OVER"), flush=True)
            misses += [line] if ratio > RATIO else []
    table((name, "median ms", "after a year", "p99 ms", "after a year", "median x", "p99 x"), rows)
    return misses
