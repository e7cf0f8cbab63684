"""All parts of Baton as real processes, with a proxy in each connection between two parts."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import URL, func, make_url, select
from sqlalchemy.exc import OperationalError

from baton.domain.states import ACTIVE_JOBS, HELD_ATTEMPTS
from baton.storage import BlobStore, open_store
from service.db.engine import Database, open_engine
from service.db.tables import Attempt, Job
from tests.control_plane.backlog import IS_ORDERED
from tests.control_plane.shifted_clock import install_clock, shift_clock
from tests.support.gcs import GcsEmulator, gcs_emulator, until
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.proxy import Address, Proxy, Way, running_proxy
from tests.support.redis import RedisServer, running_redis
from tests.support.service import ServiceProcess
from tests.support.worker import WorkerProcess

SETTINGS = {
    "BATON_LEASE_SECONDS": "3",
    "BATON_HEARTBEAT_SECONDS": "0.7",
    "BATON_CONDUCTOR_SECONDS": "0.3",
    "BATON_DISPATCH_AGAIN_SECONDS": "5",
    "BATON_LEADER_SECONDS": "2",
    "BATON_SWEEP_SECONDS": "5",
    # Shorter than the store can hang here, and longer than a healthy worker needs to obey.
    "BATON_CANCEL_SECONDS": "8",
    "BATON_PAUSE_SECONDS": "20",
    "BATON_GRACE": "8",
    "BATON_RETENTION_JOBS": "succeeded=3h",
}
RETENTION = timedelta(hours=3)
"""How long succeeded jobs are kept. The clock is set by less than an hour, so nothing is deleted early."""

QUEUES = ("--queue", "default", "--queue", "other")
ROADS: tuple[tuple[str, ...], ...] = ((), (), ("--poll",))
"""The arguments of each worker: two get work by Redis, the third polls the service."""

WARM_SECONDS = 120.0


class Link(StrEnum):
    """The connections. FRONT: requests of workers and users, which go to one of the replicas."""

    FRONT = "front"
    WORKER_REDIS = "worker to redis"
    SERVICE_REDIS = "service to redis"
    WORKER_STORE = "worker to store"
    SERVICE_STORE = "service to store"
    SERVICE_DATABASE = "service to database"


COUNT_SECONDS = 0.3


@dataclass
class Cluster:
    """The members of the cluster.

    `database_url` bypasses the proxies. `postgres` is None if the database is a SQLite file.
    """

    folder: Path
    database_url: str
    redis: RedisServer
    store: GcsEmulator
    services: list[ServiceProcess]
    workers: list[WorkerProcess]
    links: dict[Link, Proxy]
    refused: Counter[str]
    postgres: PostgresServer | None = None
    database: Database = field(init=False)
    _open: int = 0
    _counted_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.database = Database(open_engine(self.database_url, connections=3))

    @property
    def front(self) -> str:
        """The service's URL for workers and users."""
        return f"http://{self.links[Link.FRONT].address}"

    def open_jobs(self) -> int:
        """The number of jobs that have not ended, at most a moment old."""
        if time.monotonic() > self._counted_at + COUNT_SECONDS:
            query = select(func.count()).select_from(Job).where(Job.state.in_([*ACTIVE_JOBS]), IS_ORDERED)
            # While the database is stopped, the last count is used.
            with contextlib.suppress(OperationalError), self.database.read() as session:
                self._open = session.scalar(query) or 0
            self._counted_at = time.monotonic()
        return self._open

    def start(self) -> None:
        """Start all members, and wait until the workers are ready."""
        for service in self.services:
            service.spawn()
        for worker in self.workers:
            self.start_worker(worker)
        for service in self.services:
            service.await_ready(WARM_SECONDS)
        for worker in self.workers:
            until(lambda log=worker.log: b"warm" in log.read_bytes(), WARM_SECONDS, f"{worker.name} is warm")

    def start_worker(self, worker: WorkerProcess) -> None:
        """Start the worker, for the first time or again."""
        worker.start(*ROADS[self.workers.index(worker)], *QUEUES)

    def step_clock(self, seconds: float) -> None:
        """Set the database's clock this many seconds ahead of the real one.

        A negative number sets it behind. Needs PostgreSQL.
        """
        assert self.postgres is not None
        with self.postgres.connect(make_url(self.database_url).database or "") as connection:
            shift_clock(connection, seconds)

    def held_attempts(self, worker: str) -> set[str]:
        """The ids of the attempts that a worker holds. Empty while the database is unavailable."""
        query = select(Attempt.id).where(Attempt.worker == worker, Attempt.state.in_([*HELD_ATTEMPTS]))
        with contextlib.suppress(OperationalError), self.database.read() as session:
            return set(session.scalars(query))
        return set()

    def open_store(self) -> BlobStore:
        """The store, without the proxies."""
        os.environ.update(self.store.environ)
        try:
            return open_store(self.store.store_url())
        finally:
            del os.environ["STORAGE_EMULATOR_HOST"]


@contextlib.contextmanager
def running_town(folder: Path, seed: int, *, postgres: bool) -> Iterator[Cluster]:
    """A cluster that is stopped at the end. On SQLite it has one replica, and no proxy in front of the database."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_postgres()) if postgres else None
        url = make_url(server.url(_made(server)) if server else f"sqlite:///{folder}/baton.db")
        redis, store = stack.enter_context(running_redis()), stack.enter_context(gcs_emulator())
        refused: Counter[str] = Counter()

        def tap(_line: int, way: Way, chunk: bytes) -> None:
            if way is Way.ANSWER:
                refused["lease-lost"] += chunk.count(b"problem:lease-lost")

        def line(number: int, *to: Address) -> Proxy:
            return stack.enter_context(running_proxy(*to, seed=seed + number, tap=tap if number == 0 else None))

        redis_at, store_at = ("127.0.0.1", redis.port), ("127.0.0.1", int(store.host.rpartition(":")[2]))
        links = {
            Link.WORKER_REDIS: line(1, redis_at),
            Link.SERVICE_REDIS: line(2, redis_at),
            Link.WORKER_STORE: line(3, store_at),
            Link.SERVICE_STORE: line(4, store_at),
        }
        served = url
        if postgres:
            links[Link.SERVICE_DATABASE] = line(5, f"{url.query['host']}/.s.PGSQL.5432")
            served = URL.create(
                url.drivername, url.username, None, "127.0.0.1", links[Link.SERVICE_DATABASE].port, url.database
            )
        services = [_service(folder, k, served, links, store) for k in range(2 if postgres else 1)]
        links[Link.FRONT] = line(0, *(("127.0.0.1", service.port) for service in services))
        workers = [_worker(folder, k, services[0], links) for k in range(len(ROADS))]
        cluster = Cluster(folder, _text(url), redis, store, services, workers, links, refused, server)
        stack.callback(_end, cluster)
        yield cluster


def _made(server: PostgresServer) -> str:
    """Create a database whose clock can be shifted, and return its name."""
    name = server.create()
    with server.connect(name) as connection:
        install_clock(connection, name)
    return name


def _service(folder: Path, number: int, database: URL, links: dict[Link, Proxy], store: GcsEmulator) -> ServiceProcess:
    return ServiceProcess(
        database_url=_text(database),
        redis_url=f"redis://{links[Link.SERVICE_REDIS].address}/0",
        store_url=store.store_url(),
        log=folder / f"service-{number + 1}.log",
        settings={**SETTINGS, "STORAGE_EMULATOR_HOST": f"http://{links[Link.SERVICE_STORE].address}"},
    )


def _worker(folder: Path, number: int, service: ServiceProcess, links: dict[Link, Proxy]) -> WorkerProcess:
    settings = {
        "BATON_URL": f"http://{links[Link.FRONT].address}",
        "BATON_REDIS_URL": f"redis://{links[Link.WORKER_REDIS].address}/0",
        "STORAGE_EMULATOR_HOST": f"http://{links[Link.WORKER_STORE].address}",
    }
    return WorkerProcess(service, folder, f"worker-{number + 1}", settings, "tests.support.fake_worker")


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _end(cluster: Cluster) -> None:
    for worker in cluster.workers:
        worker.kill_group()
    for service in cluster.services:
        service.kill()
    cluster.database.close()
