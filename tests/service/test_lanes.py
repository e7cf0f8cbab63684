"""A store that hangs delays only the requests that need the store: heartbeats, claims and /readyz get responses."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from baton.storage import open_store
from service.api import readiness
from service.api.readiness import NOT_YET, OK, Check, Readiness
from service.lanes import Lane, LaneFull, LowPriority
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, WorkerHand, assert_problem, eventually, worker_info
from tests.support.hanging_store import hanging_store
from tests.support.redis import RedisServer
from tests.support.service import TOKEN, running_service

pytestmark = ON_BOTH

READYZ, FILES = 200, 100


@dataclass(frozen=True)
class Stuck:
    """A running attempt with files, a queued attempt, and a store whose calls return only after `released` is set."""

    hand: WorkerHand
    other: dict[str, Any]
    released: threading.Event


@pytest.fixture
def stuck(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    hand, other = prepared(api)
    released, store = threading.Event(), api.services.store

    def behind(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: released.wait(60) and call(*arguments)

    for name in ("check", "open", "list", "stat", "signed_url", "delete", "copy"):
        monkeypatch.setattr(store, name, behind(getattr(store, name)))
    yield Stuck(hand, other, released)
    released.set()


@asynccontextmanager
async def many(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An asynchronous client of the same app, which can send concurrent requests."""
    transport = httpx.ASGITransport(app=api.http.app)  # type: ignore[union-attr]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers, timeout=60) as http:
        yield http


def reads(job_id: str, number: int) -> str:
    """The path of a request that needs the store."""
    kinds = ("artifacts/best.keras", "report", "attempts/1/log")
    return f"/v1/jobs/{job_id}/{kinds[number % len(kinds)]}"


async def beside_a_store_that_hangs(http: httpx.AsyncClient, hand: Any, other: Mapping[str, Any]) -> list[int]:
    """Statuses of heartbeats and a claim, sent while FILES requests wait for the store."""
    files = [asyncio.create_task(http.get(reads(hand.job_id, k))) for k in range(FILES)]
    ready = await asyncio.gather(*(http.get("/readyz") for _ in range(READYZ)))
    assert {answer.status_code for answer in ready} <= {200, 503}
    full = {answer.status_code for answer in (file.result() for file in files if file.done())}
    assert full <= {503}
    beat = {"fence": hand.fence, "phase": "training"}
    url = f"/v1/attempts/{hand.attempt_id}/heartbeat"
    beats = await asyncio.gather(*(http.post(url, json=beat, headers=hand.headers) for _ in range(20)))
    claim = {"claim_id": "c" * 32, "worker": worker_info("w2")}
    claimed = await http.post(f"/v1/attempts/{other['id']}/claim", json=claim)
    assert sum(not file.done() for file in files) >= FILES - READS_REFUSED
    for file in files:
        file.cancel()
    await asyncio.gather(*files, return_exceptions=True)
    return [answer.status_code for answer in (*beats, claimed)]


READS_REFUSED = 40
"""16 calls hang and 64 wait. The service refuses the others immediately."""


def prepared(api: Api) -> tuple[Any, dict[str, Any]]:
    hand = api.running()
    hand.artifact("best.keras", b"x" * 10)
    hand.artifact("report.html", b"<p>")
    return hand, api.attempt(api.submit()["id"])


def test_heartbeats_and_claims_pass_requests_that_wait_for_the_store(api: Api, stuck: Stuck) -> None:
    async def run() -> list[int]:
        async with many(api) as http:
            found = await beside_a_store_that_hangs(http, stuck.hand, stuck.other)
            stuck.released.set()
            return found

    assert set(asyncio.run(run())) == {200}


@pytest.mark.process
def test_a_real_process_beside_a_bucket_that_never_answers(
    tmp_path: Path, redis_server: RedisServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hanging_store() as bucket:
        settings = {"BATON_DATABASE_URL": database_url, "BATON_STORE": bucket.url, **bucket.environ}
        with running_service(tmp_path, redis_server.url, **settings) as service, service.client() as client:
            for name, value in bucket.environ.items():
                monkeypatch.setenv(name, value)
            api = Api(client, store=open_store(bucket.url))
            hand = api.running()
            for name in ("best.keras", "report.html"):
                assert hand.artifact(name, b"file").status_code == 200, name
            other = api.attempt(api.submit()["id"])
            bucket.hang()

            async def run() -> list[int]:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                limits = httpx.Limits(max_connections=None)
                async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60, limits=limits) as http:
                    return await beside_a_store_that_hangs(http, hand, other)

            assert set(asyncio.run(run())) == {200}
            bucket.go_on()


@ON_SQLITE
def test_a_flood_of_the_default_pool_delays_no_heartbeat(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads of the default pool and all connections of the default engine are in use."""
    hand, other = prepared(api)
    released, taken = threading.Event(), threading.Semaphore(0)

    def slow(*_: object, **__: object) -> None:
        with api.services.database.read():
            taken.release()
            released.wait(60)

    monkeypatch.setattr("service.usecases.job_list.page", slow)
    worker = api.token("work")["token"]

    async def run() -> list[int]:
        async with many(api) as http:
            lists = [asyncio.create_task(http.get("/v1/jobs")) for _ in range(60)]
            for _ in range(20):
                assert await anyio.to_thread.run_sync(taken.acquire, limiter=anyio.CapacityLimiter(1))
            beat = {"fence": hand.fence, "phase": "training"}
            api.services.authenticator.forget()  # each token must be looked up again
            url = f"/v1/attempts/{hand.attempt_id}/heartbeat"
            answers = [await http.post(url, json=beat, headers=hand.headers)]
            claim = {"claim_id": "c" * 32, "worker": worker_info("w2")}
            headers = {"Authorization": f"Bearer {worker}"}
            answers.append(await http.post(f"/v1/attempts/{other['id']}/claim", json=claim, headers=headers))
            report = {**worker_info("w3"), "queues": ["default"]}
            answers.append(await http.post("/v1/workers", json=report, headers=headers))
            answers.append(await http.get("/readyz"))
            assert not any(one.done() for one in lists)
            for one in lists:
                one.cancel()
            released.set()
            await asyncio.gather(*lists, return_exceptions=True)
            return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [200, 200, 204, 200]


@ON_SQLITE
def test_too_many_for_a_store_that_hangs_are_told_at_once(api: Api, stuck: Stuck) -> None:
    async def run() -> None:
        async with many(api) as http:
            files = [asyncio.create_task(http.get(reads(stuck.hand.job_id, 0))) for _ in range(100)]
            done, waiting = await asyncio.wait(files, return_when=asyncio.FIRST_COMPLETED)
            problem = assert_problem(done.pop().result(), 503, "busy")
            assert "/readyz" in problem["detail"]
            assert waiting
            stuck.released.set()
            assert {(await one).status_code for one in waiting} <= {200, 503}

    asyncio.run(run())


def test_a_place_in_a_lane_is_free_when_its_caller_leaves() -> None:
    lane, released, entered = Lane("tried", 1, waiting=2), threading.Event(), threading.Event()

    def hold() -> bool:
        entered.set()
        return released.wait(60)

    async def run() -> None:
        holds = asyncio.create_task(lane.run(hold))
        await anyio.to_thread.run_sync(entered.wait)
        waits = [asyncio.create_task(lane.run(lambda: "called")) for _ in range(2)]
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(LaneFull, match="/readyz"):
            await lane.run(lambda: "called")
        goes_on = asyncio.create_task(lane.go_on(lambda: "went on"))
        waits[0].cancel()
        await asyncio.gather(waits[0], return_exceptions=True)
        await anyio.wait_all_tasks_blocked()
        released.set()
        assert (await holds, await waits[1], await goes_on) == (True, "called", "went on")

    asyncio.run(run())


def test_a_place_in_a_lane_is_not_waited_for_without_end() -> None:
    lane, released = Lane("tried", 1, patience=0.01), threading.Event()

    async def run() -> None:
        holds = asyncio.create_task(lane.run(released.wait, 60))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(LaneFull):
            await lane.run(lambda: "called")
        released.set()
        assert await holds

    asyncio.run(run())


@ON_SQLITE
def test_an_upload_waits_for_a_place_and_not_without_end() -> None:
    """Only a limited number of bodies of uploads is in memory at the same time."""

    async def run() -> None:
        lane = Lane("a few", 1, waiting=1, patience=0.05)
        async with lane.place():
            with pytest.raises(LaneFull):
                async with lane.place():
                    raise AssertionError("there is one place")
        waits = Lane("one", 1, waiting=1)
        async with anyio.create_task_group() as tasks, waits.place():
            tasks.start_soon(held, waits)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(LaneFull):  # the line is full
                await held(waits)

    async def held(lane: Lane) -> None:
        async with lane.place():
            pass

    asyncio.run(run())


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Readiness]]:
    """A function that makes a `Readiness` with one given check and a given clock."""
    made: list[Readiness] = []
    monkeypatch.setitem(readiness.EVERY, "store", 0.001)
    monkeypatch.setattr(readiness, "AGAIN_SECONDS", 0.001)

    def make(ask: Callable[[], str], clock: Callable[[], float]) -> Readiness:
        made.append(Readiness([Check("store", ask, bound=10.0)], clock))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_check_that_hangs_takes_one_thread_and_its_age_is_told(watched: Callable[..., Readiness]) -> None:
    now, released, begun = [0.0], threading.Event(), []
    answers = iter([OK])

    def ask() -> str:
        begun.append(now[0])
        return next(answers, "") or (released.wait(60) and OK) or "?"

    readiness = watched(ask, lambda: now[0])
    assert readiness.states()["store"].text == NOT_YET
    readiness.start()
    eventually(lambda: len(begun) == 2)  # the second check hangs
    assert readiness.states()["store"].text == OK
    now[0] = 12.0
    for _ in range(200):
        state = readiness.states()["store"]
        assert (state.ok, state.age) == (False, 12.0)
        assert state.text.startswith("no answer for 12 s; look at BATON_STORE")
    assert len(begun) == 2
    released.set()
    eventually(lambda: readiness.states()["store"].ok)


def test_a_check_that_fails_in_its_own_way_is_told_and_tried_again(watched: Callable[..., Readiness]) -> None:
    faults = [RuntimeError("odd"), None]

    def ask() -> str:
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault
        return OK

    readiness = watched(ask, lambda: 0.0)
    readiness.start()
    eventually(lambda: readiness.states()["store"].ok)
    assert faults == []


def test_the_answer_tells_the_age_of_each_check(api: Api) -> None:
    found = api.http.get("/readyz").json()
    assert found["checks"] == {"database": "ok", "redis": "ok", "store": "ok"}
    assert set(found["ages"]) == {"database", "redis", "store"}
    assert all(0 <= age < 60 for age in found["ages"].values())


@ON_SQLITE
def test_before_its_first_check_it_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    services = api.services
    fresh = Readiness(readiness.checks(services.leases, services.redis, services.store, lambda: None))
    monkeypatch.setattr(services.readiness, "states", fresh.states)
    problem = assert_problem(api.http.get("/readyz"), 503, "not-ready")
    assert [error["message"] for error in problem["errors"]] == [NOT_YET] * 3


@ON_SQLITE
def test_a_low_priority_is_that_of_the_threads_alone() -> None:
    threads = LowPriority("low", 1)
    own = os.getpriority(os.PRIO_PROCESS, 0)

    async def run() -> int:
        return await threads.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    assert asyncio.run(run()) == min(19, own + LowPriority.NICE) if sys.platform == "linux" else own
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


@ON_SQLITE
def test_a_cancelled_caller_waits_for_its_call() -> None:
    threads, begun, released, ended = LowPriority("low", 1), threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert released.wait(60)
        ended.set()

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(threads.run, call)
            await anyio.to_thread.run_sync(begun.wait, 60)
            group.cancel_scope.cancel()
            released.set()
        assert ended.is_set()

    anyio.run(run)
