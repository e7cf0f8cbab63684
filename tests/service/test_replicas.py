"""Two service processes on one PostgreSQL: both serve every request, and one of them runs the reconciler."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from baton.storage import open_store
from tests.service.helpers import Api, WorkerHand, eventually, spec
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.service import ServiceProcess

LEADER_SECONDS = 3


class Pair:
    """Two replicas that were started at the same time on an empty database."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.replicas = [
            ServiceProcess(
                database_url=database_url,
                redis_url=redis_url,
                store_url=(folder / "store").as_uri(),
                log=folder / f"{n}.log",
                settings={"BATON_LEADER_SECONDS": str(LEADER_SECONDS), "BATON_CONDUCTOR_SECONDS": "0.1"},
            )
            for n in range(2)
        ]
        for replica in self.replicas:
            replica.spawn()
        for replica in self.replicas:
            replica.await_ready()
        self.clients = [replica.client() for replica in self.replicas]

    def leads(self, n: int) -> bool:
        answer = self.clients[n].get("/readyz")
        return answer.status_code == 200 and "this replica" in answer.json()["conductor"]

    def leader(self) -> int:
        return int(eventually(lambda: [n for n in range(2) if self.leads(n)])[0])

    def conducts(self, n: int) -> None:
        """Wait until this replica's reconciler has sent the message of a new job."""
        api = Api(self.clients[n])
        job = api.submit()
        eventually(lambda: "dispatched" in api.kinds(job["id"]))

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for replica in self.replicas:
            replica.kill()


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, redis_server: RedisServer
) -> Iterator[Pair]:
    name = postgres_server.create()
    made = Pair(tmp_path_factory.mktemp("pair"), postgres_server.url(name), redis_server.url)
    yield made
    made.close()
    postgres_server.drop(name)


@pytest.fixture
def both(pair: Pair) -> list[httpx.Client]:
    return pair.clients


def test_what_one_accepts_the_other_shows_at_once(both: list[httpx.Client]) -> None:
    for one, two in (both, both[::-1]):
        job = one.post("/v1/jobs", json=spec()).json()
        assert two.get(f"/v1/jobs/{job['id']}").json()["id"] == job["id"]
        assert two.get("/v1/jobs", params={"limit": 1}).json()["items"][0]["id"] == job["id"]
        assert two.post(f"/v1/jobs/{job['id']}/pause").status_code == 202
        assert one.get(f"/v1/jobs/{job['id']}").json()["status"] == "paused"


def test_a_long_poll_at_one_wakes_by_a_change_at_the_other(both: list[httpx.Client]) -> None:
    for one, two in (both, both[::-1]):
        job = one.post("/v1/jobs", json=spec()).json()
        hand = Api(two).claim(job["id"])
        version = one.get(f"/v1/jobs/{job['id']}").json()["version"]
        with ThreadPoolExecutor(1) as pool:
            query = {"wait": 60, "version": version}
            poll = pool.submit(one.get, f"/v1/jobs/{job['id']}", params=query, timeout=45)
            assert hand.beat("training").status_code == 200
            assert poll.result().json()["version"] > version


def test_an_attempt_is_claimed_once_however_many_ask_at_both(both: list[httpx.Client]) -> None:
    apis = [Api(one) for one in both]
    for _ in range(4):
        job = apis[0].submit()
        attempt_id = apis[0].attempt(job["id"])["id"]
        hands = [WorkerHand(apis[n % 2], attempt_id, job["id"], f"w{n}") for n in range(24)]
        start = threading.Barrier(len(hands))

        def claim(hand: WorkerHand, start: threading.Barrier = start) -> int:
            start.wait()
            return hand.claim().status_code

        with ThreadPoolExecutor(len(hands)) as pool:
            statuses = list(pool.map(claim, hands))
        assert sorted(statuses) == [200] + [409] * 23
        winner = hands[statuses.index(200)]
        assert apis[1].attempt(job["id"])["worker"] == winner.name
        assert apis[1].kinds(job["id"]).count("claimed") == 1
        # The response was lost: the same claim at the other replica returns the same grant.
        again = WorkerHand(apis[1], attempt_id, job["id"], winner.name, winner.claim_id)
        assert again.claim().json()["fence"] == 1


def test_a_key_that_races_at_both_makes_one_job(both: list[httpx.Client]) -> None:
    for _ in range(4):
        key = {"Idempotency-Key": uuid.uuid4().hex}
        start = threading.Barrier(16)

        def submit(n: int, key: dict[str, str] = key, start: threading.Barrier = start) -> httpx.Response:
            start.wait()
            return both[n % 2].post("/v1/jobs", json=spec(name="raced"), headers=key)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(submit, range(16)))
        assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
    names = [job["name"] for job in both[0].get("/v1/jobs", params={"limit": 200}).json()["items"]]
    assert names.count("raced") == 4


def test_work_at_both_keeps_every_log_whole(pair: Pair, both: list[httpx.Client]) -> None:
    """A worker that changes the replica with each call, users at both replicas, and the reconciler work on the same
    jobs.
    """
    store = open_store(pair.replicas[0].store_url)
    apis = [Api(one, store=store) for one in both]
    jobs = [apis[n % 2].submit()["id"] for n in range(6)]

    def work(job_id: str) -> list[int]:
        hand = apis[0].claim(job_id)
        statuses = []
        for step in range(1, 9):
            hand.api = apis[step % 2]
            statuses += [hand.beat("training").status_code, hand.checkpoint(step).status_code]
            statuses.append(apis[1 - step % 2].http.get(f"/v1/jobs/{job_id}").status_code)
        return [*statuses, hand.finish("succeeded").status_code]

    with ThreadPoolExecutor(6) as pool:
        statuses = [status for found in pool.map(work, jobs) for status in found]
    assert set(statuses) == {200, 201}
    for job_id in jobs:
        assert apis[1].job(job_id)["status"] == "succeeded"
        assert apis[0].kinds(job_id).count("checkpoint") == 8


def signalled(replica: ServiceProcess, number: signal.Signals) -> None:
    assert replica.process is not None
    replica.process.send_signal(number)


def test_leadership_moves_when_its_holder_stands_still_dies_or_ends(pair: Pair) -> None:
    first = pair.leader()
    second = 1 - first

    signalled(pair.replicas[first], signal.SIGSTOP)
    try:
        eventually(lambda: pair.leads(second))
        pair.conducts(second)
    finally:
        signalled(pair.replicas[first], signal.SIGCONT)
    # The resumed replica believes that it leads, and learns that it does not.
    eventually(lambda: "leadership was lost" in pair.replicas[first].log.read_text())
    eventually(lambda: pair.leads(first) != pair.leads(second))

    dying = pair.leader()
    pair.replicas[dying].kill()
    eventually(lambda: pair.leads(1 - dying))
    pair.conducts(1 - dying)

    # The killed replica starts again with a leader lease of five minutes. It leads after the other replica has ended.
    settings = pair.replicas[dying].settings
    pair.replicas[dying].settings = {**settings, "BATON_LEADER_SECONDS": "300"}
    pair.replicas[dying].start()
    assert pair.replicas[1 - dying].terminate() == 0
    eventually(lambda: pair.leads(dying))
    # A replica that shuts down cleanly releases its lease, so the other replica leads before the five minutes end.
    pair.replicas[1 - dying].start()
    assert not pair.leads(1 - dying)
    assert pair.replicas[dying].terminate() == 0
    eventually(lambda: pair.leads(1 - dying))
    pair.conducts(1 - dying)
    logs = [replica.log.read_text() for replica in pair.replicas]
    assert "this replica leads now" in logs[1 - dying]
    # The other tests need both replicas, whatever the order of the tests.
    pair.replicas[dying].settings = settings
    pair.replicas[dying].start()
    assert not any("Traceback" in text for text in logs)
