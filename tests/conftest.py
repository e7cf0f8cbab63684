"""What tests of several folders share. One PostgreSQL server for all of them is started when the first one asks."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import process_guard
from tests.support.jobs import Jobs

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer
    from tests.support.service import ServiceProcess


FIRST = ("slow", "chaos", "docs", "process")
"""Tests with these markers run first, in this order: where files run in parallel, the last must not be a long one."""
OF_FIXTURE = {"postgres_server": "postgres", "browser": "browser"}
"""Fixtures that give their tests a marker."""


def pytest_configure() -> None:
    process_guard.install()
    # Hypothesis would fail a test whose example takes 200 ms, or whose examples are drawn slowly.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Adds the markers of fixtures, and puts long tests first. The other order stays."""
    for item in items:
        for fixture, marker in OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        call = getattr(item, "callspec", None)
        if call is not None and "postgresql" in call.params.values():
            item.add_marker("postgres")
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, name in enumerate(FIRST) if item.get_closest_marker(name)), len(FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fails a test that starts a process without a marker that says so."""
    with process_guard.watched(item):
        return (yield)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    from tests.support.postgres import running_postgres  # most tests need none of it

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """The name of a migrated database; making one for each test would cost more than most tests do."""
    from service.db.migrate import migrate

    name = postgres_server.create()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """The URL of a migrated database with no row in it."""
    yield postgres_server.url(postgres_database)
    postgres_server.empty(postgres_database)


@pytest.fixture
def jobs(service: ServiceProcess) -> Iterator[Jobs]:
    """The jobs of the service that the folder or the module has."""
    with service.client() as http:
        yield Jobs(http)
