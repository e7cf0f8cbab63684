"""A service process is suspended, or ended and started again, for longer than a lease.

A worker that kept sending heartbeats keeps its lease.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from service.db.engine import Database, open_engine
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from tests.service.helpers import ON_BOTH, Api, WorkerHand, bearer, eventually
from tests.support.redis import RedisServer
from tests.support.service import ServiceProcess, running_service

pytestmark = [ON_BOTH, pytest.mark.process]

LEASE, HEARTBEAT, WORKERS = 3.0, 0.5, 5
PATIENCE = 60


class Beating:
    """A worker that sends heartbeats, whatever happens, until a response says that it lost the lease."""

    def __init__(self, service: ServiceProcess, hand: WorkerHand) -> None:
        self._service, self._hand = service, hand
        self.answered, self.lost = 0, False

    def run(self, over: threading.Event) -> None:
        """Send heartbeats until the test ends or the lease is lost."""
        beat = {"fence": self._hand.fence, "phase": "training"}
        with httpx.Client(headers=bearer(self._hand.grant["token"]), timeout=2.0) as http:
            while not over.is_set() and not self.lost:
                self._beat(http, beat)
                over.wait(HEARTBEAT)

    def _beat(self, http: httpx.Client, beat: dict[str, object]) -> None:
        with suppress(httpx.HTTPError):
            answer = http.post(f"{self._service.url}/v1/attempts/{self._hand.attempt_id}/heartbeat", json=beat)
            self.answered += answer.status_code == 200
            self.lost = answer.status_code == 409


@contextmanager
def beating(service: ServiceProcess, hands: list[WorkerHand]) -> Iterator[list[Beating]]:
    """Send the heartbeats of all workers, each in a thread."""
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
    """Whether all leases have expired, if only the times in the database are considered."""
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
    """Wait until one pass has run from beginning to end."""
    job = api.submit()
    eventually(lambda: "dispatched" in api.kinds(job["id"]))
