"""Many workers and readers share the connections of one replica."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from service.api.request_limits import Group, ShareLimit, Sharer
from service.errors import TooManyAtOnce
from tests.security.wire import Wire, ask
from tests.service.helpers import Api, bearer, eventually, worker_info
from tests.support.redis import RedisServer
from tests.support.service import ServiceProcess, running_service

pytestmark = pytest.mark.process

WORK_TOKEN, READ_TOKEN = "work-token-of-the-tests", "read-token-of-the-tests"
CONNECTIONS, POLLERS = 64, 1_100
HOST = "Host: baton.example.org"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[ServiceProcess]:
    settings = {
        "BATON_CONNECTIONS": str(CONNECTIONS),
        "BATON_WORK_TOKEN": WORK_TOKEN,
        "BATON_READ_TOKEN": READ_TOKEN,
    }
    with running_service(tmp_path_factory.mktemp("service"), redis_server.url, **settings) as process:
        yield process


def poll(name: str) -> bytes:
    """A poll that waits for half a minute, for a queue without work."""
    body = json.dumps({"worker": worker_info(name), "queues": ["empty"], "wait_seconds": 30}).encode()
    head = (
        "POST /v1/attempts:next HTTP/1.1",
        HOST,
        f"Authorization: Bearer {WORK_TOKEN}",
        f"Baton-Worker: {name}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


@asynccontextmanager
async def pollers(service: ServiceProcess, number: int) -> AsyncIterator[list[bytes]]:
    """`number` concurrent polls with one token, each of another worker. Yields the responses of those that ended."""
    ended: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def one(name: str) -> None:
        answer = b""
        with suppress(ConnectionError):  # an idle connection is closed if another one needs its place
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writers.append(writer)
            writer.write(poll(name))
            answer = await reader.read(1 << 16)
        ended.append(answer)

    tasks = [asyncio.create_task(one(f"w{k}")) for k in range(number)]
    waiting = CONNECTIONS * 10 // 16
    while len(ended) < number - waiting:
        await asyncio.sleep(0.05)
    try:
        yield ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()


def test_a_crowd_of_pollers_shuts_out_nobody_else(service: ServiceProcess) -> None:
    """1,100 workers poll with one token, of which 40 may wait: claims, heartbeats, users and the administrator get
    responses.
    """

    async def crowd() -> None:
        async with pollers(service, POLLERS) as ended:
            told = [answer for answer in ended if answer]  # idle connections make room for others
            # on a slow machine the first polls end without work before the last worker has connected
            turned_away = [answer for answer in told if not answer.startswith(b"HTTP/1.1 204")]
            assert turned_away
            for answer in turned_away:
                assert answer.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")), answer[:400]  # 503: no connection is idle
                assert b"retry-after: 1" in answer
            await asyncio.to_thread(others_are_served, service)

    asyncio.run(crowd())


def others_are_served(service: ServiceProcess) -> None:
    with service.client() as http:
        api = Api(http)
        job = api.submit()["id"]
        for _ in range(20):
            assert http.get("/v1/tokens").status_code == 200
        assert http.get("/v1/jobs", headers=bearer(READ_TOKEN)).status_code == 200
        report = {**worker_info("late"), "queues": ["default"]}
        late = {**bearer(WORK_TOKEN), "Baton-Worker": "late"}
        assert http.post("/v1/workers", json=report, headers=late).status_code == 204
        hand = api.claim(job, "late", token=WORK_TOKEN)
        assert hand.beat().status_code == 200


def test_one_worker_that_never_ends_its_polls_leaves_room_for_the_others(service: ServiceProcess) -> None:
    with ExitStack() as held:
        polls = [held.enter_context(Wire(service)) for _ in range(9)]
        for one in polls:
            one.send(poll("greedy"))
        # Requests of different connections are read in any order, so the refused request need not be the last one.
        (refused, *_) = eventually(lambda: [one for one in polls if one.answered()])
        assert refused.receive().startswith(b"HTTP/1.1 429")
        report = json.dumps({**worker_info("modest"), "queues": ["default"]}).encode()
        head = ("POST /v1/workers HTTP/1.1", HOST, f"Authorization: Bearer {WORK_TOKEN}", "Baton-Worker: modest")
        length = ("Content-Type: application/json", f"Content-Length: {len(report)}")
        assert ask(service, *head, *length, body=report)[0] == 204


@pytest.mark.parametrize(
    ("crowd", "others"),
    [
        ([Group.POLL], [Group.USER, Group.WORK, Group.ATTEMPT, Group.ADMIN]),
        ([Group.USER], [Group.POLL, Group.WORK, Group.ATTEMPT, Group.ADMIN]),
        ([Group.POLL, Group.USER], [Group.WORK, Group.ATTEMPT, Group.ADMIN]),
        ([Group.POLL, Group.USER, Group.WORK], [Group.ATTEMPT, Group.ADMIN]),
        ([Group.POLL, Group.USER, Group.WORK, Group.ATTEMPT], [Group.ADMIN]),
    ],
)
@pytest.mark.parametrize("connections", [16, 40, 2000])
def test_whatever_a_crowd_takes_others_keep_a_share(crowd: list[Group], others: list[Group], connections: int) -> None:
    limit = ShareLimit(None, connections)  # type: ignore[arg-type]  # no request goes through it
    taken = 0
    for group in crowd:
        for k in range(connections):
            try:
                limit.take(Sharer(group, str(k)))
            except TooManyAtOnce:
                break
            taken += 1
    assert 0 < taken < connections
    for group in others:
        limit.take(Sharer(group, "another"))
