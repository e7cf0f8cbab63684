"""What tests of several folders share: one PostgreSQL server for all of them, started when the first one asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.db.migrate import migrate
from tests.support.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """The name of a migrated database; making one for each test would cost more than most tests do."""
    name = postgres_server.create()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """The URL of a migrated database with no row in it."""
    yield postgres_server.url(postgres_database)
    postgres_server.empty(postgres_database)
