"""Workers get work by long poll: which attempt is offered to which worker and when. Waiting costs almost nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from baton.domain.wire import WorkerInfo
from service.db.types import db_now
from service.live import work_offers
from service.live.work_offers import WorkOffers
from service.usecases.attempt_limits import Limits
from tests.service.helpers import Api, WorkerHand, assert_problem, eventually, worker_info
from tests.support.redis import RedisServer
from tests.support.service import TOKEN, ServiceProcess, running_service

pytestmark = pytest.mark.process

NEXT = "/v1/attempts:next"
WORKER = WorkerInfo(name="w1", host="box", pid=7, version="0.1.0")


def request(*queues: str, wait: float = 0.0, name: str = "w1") -> dict[str, Any]:
    return {"worker": worker_info(name), "queues": queues or ["default"], "wait_seconds": wait}


def ask(api: Api, *queues: str, wait: float = 0.0, name: str = "w1") -> str | None:
    answer = api.http.post(NEXT, json=request(*queues, wait=wait, name=name))
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"attempt_id"}
    offered: str | None = answer.json()["attempt_id"]
    return offered


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def waiting(api: Api) -> int:
    return len(api.services.offers._askers)


def poll(api: Api, pool: ThreadPoolExecutor, *queues: str, name: str = "w1") -> Future[str | None]:
    """A long poll that is already waiting."""
    before = waiting(api)
    answer = pool.submit(ask, api, *queues, wait=30.0, name=name)
    eventually(lambda: waiting(api) > before or answer.done())
    return answer


def attempts(api: Api, *jobs: str) -> list[str]:
    return [api.attempt(job)["id"] for job in jobs]


def test_what_may_start_is_offered_at_once_and_can_be_claimed(api: Api) -> None:
    assert ask(api) is None
    job = api.submit()["id"]
    offered = ask(api, wait=30.0)
    assert [offered] == attempts(api, job)
    assert WorkerHand(api, str(offered), job).claim().status_code == 200
    assert ask(api) is None


def test_a_poll_is_answered_as_soon_as_there_is_something(api: Api, pool: ThreadPoolExecutor) -> None:
    first, second = poll(api, pool), poll(api, pool, "other")
    job = api.submit(queue="other")["id"]
    assert [second.result(60)] == attempts(api, job)
    assert not first.done()
    job = api.submit()["id"]
    assert [first.result(60)] == attempts(api, job)


def test_the_time_runs_out(api: Api) -> None:
    assert ask(api, wait=0.3) is None
    assert waiting(api) == 0


def test_each_is_offered_another(api: Api, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = 0.0
    monkeypatch.setattr(work_offers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead))
    monkeypatch.setattr(work_offers, "HOLD_SECONDS", 3600.0)
    jobs = [api.submit()["id"] for _ in range(3)]
    expected = attempts(api, *jobs)
    assert [ask(api) for _ in range(3)] == expected
    assert ask(api) is None
    # No worker claimed the first attempt. After a while it is offered to another worker.
    ahead = 3601.0
    assert ask(api, wait=30.0) == expected[0]


def test_waiting_polls_share_what_comes(api: Api, pool: ThreadPoolExecutor) -> None:
    polls = [poll(api, pool, name=f"w{n}") for n in range(4)]
    jobs = [api.submit()["id"] for _ in range(4)]
    assert sorted(str(one.result(60)) for one in polls) == sorted(attempts(api, *jobs))


def test_the_most_urgent_first(api: Api) -> None:
    jobs = {name: api.submit(priority=name)["id"] for name in ("low", "normal", "high")}
    assert [ask(api) for _ in range(3)] == attempts(api, jobs["high"], jobs["normal"], jobs["low"])


def test_only_from_the_queues_that_were_named(api: Api) -> None:
    jobs = [api.submit(queue=name)["id"] for name in ("a", "b", "c")]
    assert [ask(api, "b", "c") for _ in range(3)] == [*attempts(api, *jobs[1:]), None]


def test_backoff_and_pauses_are_respected(api: Api) -> None:
    hand = api.running()
    hand.finish("failed")
    paused = api.submit()["id"]
    api.ask(paused, "pause")
    assert ask(api) is None
    api.set_attempt(attempts(api, hand.job_id)[0], not_before=db_now())
    api.conduct()  # the pass offers attempts whose time has come
    assert [ask(api)] == attempts(api, hand.job_id)


def test_a_free_place_wakes_who_waits(
    start: Callable[..., Api], redis_server: RedisServer, pool: ThreadPoolExecutor
) -> None:
    redis_server.client().flushall()
    api = start(queue_limits={"default": 1})
    holder, second = api.claim(api.submit()["id"]), api.submit()["id"]
    assert ask(api) is None
    waits = poll(api, pool)
    holder.finish("succeeded")
    assert [waits.result(60)] == attempts(api, second)


def test_an_offer_that_met_a_limit_is_made_again_when_a_place_is_free(
    start: Callable[..., Api], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_offers, "HOLD_SECONDS", 3600.0)
    redis_server.client().flushall()
    api = start(queue_limits={"default": 1})
    second = api.submit(priority="low")["id"]
    offered = ask(api)
    holder = api.claim(api.submit()["id"])
    assert_problem(WorkerHand(api, str(offered), second).claim(), 409, "limit-reached")
    holder.finish("succeeded")
    assert ask(api) == offered


def test_who_asks_is_seen_and_idle(api: Api) -> None:
    ask(api, "a", "b", name="colab")
    (worker,) = api.http.get("/v1/workers").json()["items"]
    assert (worker["name"], worker["state"], worker["queues"]) == ("colab", "idle", ["a", "b"])
    job = api.submit(queue="a")["id"]
    assert api.job(job)["waiting_for"] == "a worker of queue a"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"queues": ["Bad Queue"]}, "queues.0"),
        ({"queues": ["ok", "x" * 64]}, "queues.1"),
        ({"queues": []}, "queues"),
        ({"queues": "default"}, "queues"),
        ({"wait_seconds": 31}, "wait_seconds"),
        ({"wait_seconds": -1}, "wait_seconds"),
        ({"worker": {}}, "worker.name"),
    ],
)
def test_a_bad_request_names_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    problem = assert_problem(api.http.post(NEXT, json={**request(), **change}), 422, "invalid-request")
    assert field in [error["field"] for error in problem["errors"]]


def test_the_contract_says_so(api: Api) -> None:
    operation = api.http.get("/openapi.json").json()["paths"][NEXT]["post"]
    assert {"200", "400", "401", "413", "415", "422", "503"} <= operation["responses"].keys()
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/NextRequest")


def test_a_database_that_is_away(api: Api, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = poll(api, pool)
    eventually(lambda: api.services.offers._task is not None)
    with monkeypatch.context() as patch:
        looked = threading.Event()

        def away(*_: object) -> None:
            looked.set()
            raise OperationalError("SELECT 1", {}, Exception("away"))

        patch.setattr(api.services.offers, "_startable", away)
        assert_problem(api.http.post(NEXT, json=request(wait=30.0)), 503, "database-unavailable")
        assert looked.wait(60)
    assert not waits.done()  # this poll began before the failure, and still waits
    job = api.submit()["id"]
    assert [waits.result(60)] == attempts(api, job)


def test_another_replicas_job_is_seen(api: Api) -> None:
    async def wait() -> str | None:
        replica = WorkOffers(api.services.database, Limits())
        asked = asyncio.create_task(replica.next(["default"], WORKER, 30.0))
        while replica._task is None:
            await asyncio.sleep(0.01)
        job = await asyncio.to_thread(api.submit)
        assert [await asked] == await asyncio.to_thread(attempts, api, job["id"])
        last = replica._task
        await asyncio.wait_for(last, 60)  # no poll waits, so the replica stops looking
        closing = asyncio.create_task(replica.next(["default"], WORKER, 30.0))
        await asyncio.sleep(0)
        replica.close()
        return await asyncio.wait_for(closing, 60)

    assert asyncio.run(wait()) is None


# --- with a service process ---


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("next"), redis_server.url) as process:
        yield process


def threads_of(process: ServiceProcess) -> int:
    assert process.process is not None
    lines = Path(f"/proc/{process.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Threads:"))


def test_many_wait_without_a_thread_for_each(service: ServiceProcess) -> None:
    many = 60  # the service's pool has 40 threads: 60 polls with a thread each would block all other requests

    async def work(http: httpx.AsyncClient, name: str) -> str:
        while True:
            offered = (await http.post(NEXT, json=request(wait=30.0, name=name))).json()["attempt_id"]
            claim = {"claim_id": f"claim-of-{name}", "worker": worker_info(name)}
            if offered and (await http.post(f"/v1/attempts/{offered}/claim", json=claim)).status_code == 200:
                return str(offered)

    async def run() -> tuple[int, list[str]]:
        limits = httpx.Limits(max_connections=many + 10)
        headers = dict(service.client().headers)
        async with httpx.AsyncClient(base_url=service.url, headers=headers, limits=limits, timeout=60.0) as http:
            workers = [asyncio.create_task(work(http, f"w{n}")) for n in range(many)]
            while len((await http.get("/v1/workers")).json()["items"]) < many:
                await asyncio.sleep(0.05)
            threads = threads_of(service)
            api = Api(service.client())
            for _ in range(many):
                await asyncio.to_thread(api.submit)
            return threads, await asyncio.gather(*workers)

    threads, claimed = asyncio.run(run())
    assert threads < 60
    assert len(set(claimed)) == many


def test_a_closed_poll_is_offered_nothing(service: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    wait, names = 20.0, {f"gone-{n}" for n in range(20)}
    assert len(names) * work_offers.HOLD_SECONDS > 2 * wait  # each of them would hold the offer for HOLD_SECONDS
    with service.client() as http, ExitStack() as connections:
        for name in names:
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            body = json.dumps(request("gone", wait=30.0, name=name)).encode()
            lines = (
                f"POST {NEXT} HTTP/1.1",
                "Host: x",
                f"Authorization: Bearer {TOKEN}",
                f"Content-Length: {len(body)}",
            )
            connection.sendall("\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body)
        eventually(lambda: names <= {row["name"] for row in http.get("/v1/workers").json()["items"]})
        connections.close()
        job = Api(http).submit(queue="gone")["id"]
        answer = http.post(NEXT, json=request("gone", wait=wait, name="here")).json()
        assert [answer["attempt_id"]] == attempts(Api(http), job)


def test_a_service_that_ends_lets_all_go(tmp_path: Path, redis_server: RedisServer, pool: ThreadPoolExecutor) -> None:
    with running_service(tmp_path, redis_server.url) as service, service.client() as http:
        waits = pool.submit(lambda: http.post(NEXT, json=request("never", wait=30.0, name="last")).json())
        eventually(lambda: "last" in [row["name"] for row in http.get("/v1/workers").json()["items"]])
        assert service.terminate() == 0
        assert waits.result(60) == {"attempt_id": None}
