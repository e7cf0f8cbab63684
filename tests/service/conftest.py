"""A service on SQLite and on PostgreSQL, made by the migrations, with a real Redis and a directory store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.db.engine import Database, open_engine
from service.db.migrate import migrate
from service.db.operation_tables import Replica
from service.db.unit_of_work import Unit
from service.settings import Settings
from tests.service.clock import MovedClock
from tests.service.helpers import DATABASES, Api, eventually
from tests.support.listener import Listener, listening
from tests.support.moved_clock import MovedClock as DatabaseClock
from tests.support.moved_clock import moved_clock
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer, running_redis
from tests.support.service import TOKEN


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, to be copied: the same bytes for each test, once made."""
    path = tmp_path_factory.mktemp("template") / "baton.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> str:
    """A migrated database of the test's own, on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{shutil.copy(template, tmp_path / 'baton.db')}"


@pytest.fixture(params=DATABASES)
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes databases without any table."""
    made: list[str] = []
    if request.param == "sqlite":
        yield lambda: f"sqlite:///{tmp_path}/new-{made.append('') or len(made)}.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    yield lambda: server.url(made.append(server.create()) or made[-1])
    for name in made:
        server.drop(name)


@pytest.fixture
def empty_database_url(new_database_url: Callable[[], str]) -> str:
    """A database without any table, on SQLite and on PostgreSQL."""
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
    """Leave the row of a replica that took heartbeats for two hours, until now."""
    engine = open_engine(database_url)
    now = datetime.now(UTC)
    row = {"name": "before", "started_at": now - timedelta(hours=2), "last_write_at": now}
    # As the service writes: on SQLite with the lock from the start, for another service may be writing its own row.
    with Database(engine).write() as session:
        session.merge(Replica(**row))
    engine.dispose()


@pytest.fixture
def start(settings: Callable[..., Settings]) -> Iterator[Callable[..., Api]]:
    """Makes a service with other settings. It takes the place of another that served until now, so that leases count
    at once; `after_outage`: there was none.
    """
    clients: list[TestClient] = []

    def make(*, after_outage: bool = False, **changes: Any) -> Api:
        made = settings(**changes)
        if not after_outage:
            served_until_now(made.database_url)
        app = create_app(made)
        client = TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        readiness = app.state.services.readiness
        eventually(lambda: all(state.age is not None for state in readiness.states().values()))
        return Api(client, app.state.services)

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def api(start: Callable[..., Api], redis_server: RedisServer) -> Api:
    redis_server.client().flushall()
    return start()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    """What the service takes for the time, moved by hand."""
    moved = MovedClock()
    monkeypatch.setattr(Unit, "now", lambda _unit: moved.now)
    return moved


@pytest.fixture
def moved(api: Api) -> Iterator[DatabaseClock]:
    """The clock of the service's database. Unlike `clock`, it runs on, and the service sees that it is set."""
    services = api.services
    databases = (services.database, services.leases, services.reconciler._database)
    with moved_clock(*(one.engine for one in databases)) as clock:
        yield clock


@pytest.fixture
def ear() -> Iterator[Listener]:
    """An endpoint for notifications."""
    with listening() as found:
        yield found


@pytest.fixture
def tell(start: Callable[..., Api], ear: Listener) -> Callable[..., Api]:
    """A service with one target, `ops`, that is tried again soon."""
    return lambda **changes: start(
        **{
            "notify_urls": f"ops={ear.url('ops')}",
            "notify_timeout_seconds": 60,
            "notify_backoff_seconds": 0.001,
            "notify_tries": 3,
            **changes,
        }
    )


@pytest.fixture
def known(api: Api) -> Api:
    """A service that knows its store."""
    eventually(lambda: api.services.own_store.id)
    return api
