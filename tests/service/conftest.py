"""Fixtures: a service on SQLite or PostgreSQL whose schema the migrations made, with a real Redis and a directory
store.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from service.app import create_app
from service.db.engine import Database, open_engine
from service.db.migrate import migrate
from service.db.operation_tables import Replica
from service.db.unit_of_work import Unit
from service.settings import Settings
from tests.service.clock import MovedClock
from tests.service.helpers import Api, eventually
from tests.support import shared_statements
from tests.support.listener import Listener, listening
from tests.support.moved_clock import MovedClock as DatabaseClock
from tests.support.moved_clock import moved_clock
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer, running_redis
from tests.support.service import TOKEN
from tests.support.service_client import ServiceClient


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _shared_statements() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shared_statements.share(patch)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file. It is made once, and each test gets a copy."""
    path = tmp_path_factory.mktemp("template") / "baton.db"
    migrate(f"sqlite:///{path}")
    return path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each database that its mark `databases` names."""
    mark = metafunc.definition.get_closest_marker("databases")
    for fixture in {"database_url", "new_database_url"} & set(metafunc.fixturenames):
        if mark is not None:
            metafunc.parametrize(fixture, mark.args, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> str:
    """A migrated database for this test. It is SQLite unless the mark `databases` names another."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{shutil.copy(template, tmp_path / 'baton.db')}"


@pytest.fixture
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A function that makes databases without tables."""
    made: list[str] = []
    if getattr(request, "param", "sqlite") == "sqlite":
        yield lambda: f"sqlite:///{tmp_path}/new-{made.append('') or len(made)}.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    yield lambda: server.url(made.append(server.create()) or made[-1])
    for name in made:
        server.drop(name)


@pytest.fixture
def empty_database_url(new_database_url: Callable[[], str]) -> str:
    """A database without tables."""
    return new_database_url()


@pytest.fixture
def settings(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        values = {
            "token": TOKEN,
            "database_url": database_url,
            "redis_url": redis_server.url,
            "store": (tmp_path / "store").as_uri(),
            "conductor_seconds": 0,
        }
        return Settings(**{**values, **changes})

    return make


def served_until_now(database_url: str) -> None:
    """Insert the row of a replica that has taken heartbeats for two hours, until now."""
    now = datetime.now(UTC)
    row = {"name": "before", "started_at": now - timedelta(hours=2), "last_write_at": now}
    if database_url.startswith("sqlite:///"):
        _insert_replica(database_url.removeprefix("sqlite:///"), row)
        return
    engine = open_engine(database_url)
    # Write as the service does. On SQLite that takes the write lock first, because another service may be writing its
    # own row.
    with Database(engine).write() as session:
        session.merge(Replica(**row))
    engine.dispose()


def _insert_replica(path: str, row: dict[str, Any]) -> None:
    """Almost each test does this. An engine of its own would cost more than the rest of the set-up."""
    values = [one.replace(tzinfo=None).isoformat(" ") if isinstance(one, datetime) else one for one in row.values()]
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"INSERT OR REPLACE INTO replicas ({', '.join(row)}) VALUES (?, ?, ?)", values)


@pytest.fixture
def start(settings: Callable[..., Settings]) -> Iterator[Callable[..., Api]]:
    """A function that starts a service with other settings.

    By default it follows a replica that served until now, so leases can expire immediately. With `after_outage=True`
    no replica served before.
    """
    clients: list[TestClient] = []

    def make(*, after_outage: bool = False, **changes: Any) -> Api:
        made = settings(**changes)
        if not after_outage:
            served_until_now(made.database_url)
        app = create_app(made)
        client = ServiceClient(app, headers={"Authorization": f"Bearer {TOKEN}"})
        client.__enter__()
        clients.append(client)
        readiness = app.state.services.readiness
        eventually(lambda: all(state.age is not None for state in readiness.states().values()))
        return Api(client, app.state.services)

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def redis_client(redis_server: RedisServer) -> Redis:
    return redis_server.client()


@pytest.fixture
def api(start: Callable[..., Api], redis_client: Redis) -> Api:
    redis_client.flushall()
    return start()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    """The time that the service uses. Tests set it."""
    moved = MovedClock()
    monkeypatch.setattr(Unit, "now", lambda _unit: moved.now)
    return moved


@pytest.fixture
def moved(api: Api) -> Iterator[DatabaseClock]:
    """The clock of the service's database. Unlike `clock` it keeps running, and the service notices that it was set."""
    services = api.services
    databases = (services.database, services.leases, services.reconciler._database)
    with moved_clock(*(one.engine for one in databases)) as clock:
        yield clock


@pytest.fixture
def listener() -> Iterator[Listener]:
    """An endpoint that receives notifications."""
    with listening() as found:
        yield found


@pytest.fixture
def notifying(start: Callable[..., Api], listener: Listener) -> Callable[..., Api]:
    """A function that starts a service with one notification target, `ops`, and a short delay before a retry."""
    return lambda **changes: start(
        **{
            "notify_urls": f"ops={listener.url('ops')}",
            "notify_timeout_seconds": 60,
            "notify_backoff_seconds": 0.001,
            "notify_tries": 3,
            **changes,
        }
    )


@pytest.fixture
def known(api: Api) -> Api:
    """A service that knows the identity of its store."""
    eventually(lambda: api.services.own_store.id)
    return api
