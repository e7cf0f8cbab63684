"""A service process that is stopped, and one that is started again, beyond a lease: whoever went on beating goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from service.db.engine import Database, open_engine
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from tests.service.helpers import Api, WorkerHand, bearer, eventually
from tests.support.redis import RedisServer
from tests.support.service import ServiceProcess, running_service

pytestmark = pytest.mark.process

LEASE, HEARTBEAT, WORKERS = 3.0, 0.5, 5
PATIENCE = 60


class Beating:
    """A worker that renews its lease whatever happens, until it is told that it lost it."""

    def __init__(self, service: ServiceProcess, hand: WorkerHand) -> None:
        self._service, self._hand = service, hand
        self.answered, self.lost = 0, False

    def run(self, over: threading.Event) -> None:
        """Until all is over."""
        while not over.is_set() and not self.lost:
            try:
                answer = httpx.post(
                    f"{self._service.url}/v1/attempts/{self._hand.attempt_id}/heartbeat",
                    json={"fence": self._hand.fence, "phase": "training"},
                    headers=bearer(self._hand.grant["token"]),
                    timeout=2.0,
                )
                self.answered += answer.status_code == 200
                self.lost = answer.status_code == 409
            except httpx.HTTPError:
                pass
            over.wait(HEARTBEAT)


@contextmanager
def beating(service: ServiceProcess, hands: list[WorkerHand]) -> Iterator[list[Beating]]:
    """All of them, in threads."""
    over, workers = threading.Event(), [Beating(service, hand) for hand in hands]
    threads = [threading.Thread(target=one.run, args=(over,)) for one in workers]
    for thread in threads:
        thread.start()
    try:
        yield workers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def all_expired(database: Database) -> bool:
    """Whether by the rows alone each lease ran out."""
    with database.read() as session:
        leases = list(session.scalars(select(Attempt.lease_expires_at).where(Attempt.claimed_at.is_not(None))))
        now = Unit(session).now()
    return all(one is not None and one < now for one in leases)


def all_beat_twice(workers: list[Beating]) -> None:
    before = [one.answered for one in workers]
    later = lambda: all(one.lost or one.answered >= n + 2 for one, n in zip(workers, before, strict=True))  # noqa: E731
    eventually(later)


def test_no_worker_that_went_on_beating_is_lost(tmp_path: Path, redis_server: RedisServer, database_url: str) -> None:
    settings = {
        "BATON_DATABASE_URL": database_url,
        "BATON_LEASE_SECONDS": str(LEASE),
        "BATON_HEARTBEAT_SECONDS": str(HEARTBEAT),
        "BATON_LEADER_SECONDS": "1",
        "BATON_CONDUCTOR_SECONDS": "0.1",
    }
    database = Database(open_engine(database_url))
    with running_service(tmp_path, redis_server.url, **settings) as service, service.client() as http:
        api = Api(http)
        hands = [api.running(f"w{n}") for n in range(WORKERS)]
        with beating(service, hands) as workers:
            all_beat_twice(workers)

            assert service.process is not None
            service.process.send_signal(signal.SIGSTOP)
            eventually(lambda: all_expired(database))
            service.process.send_signal(signal.SIGCONT)
            conducts(api)
            all_beat_twice(workers)
            assert [one.lost for one in workers] == [False] * WORKERS

            assert service.terminate() == 0
            eventually(lambda: all_expired(database))
            service.start()
            conducts(api)
            all_beat_twice(workers)
            assert [one.lost for one in workers] == [False] * WORKERS

            dead = api.running("dead")
            eventually(lambda: api.job(dead.job_id)["status"] == "recovering")
            all_beat_twice(workers)
            assert [one.lost for one in workers] == [False] * WORKERS
    database.close()


def conducts(api: Api) -> None:
    """A pass was made from beginning to end."""
    job = api.submit()
    eventually(lambda: "dispatched" in api.kinds(job["id"]))
