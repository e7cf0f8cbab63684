"""What tests of several folders share. One PostgreSQL server for all of them is started when the first one asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import Jobs

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer
    from tests.support.service import ServiceProcess


LONG = (
    "resume/test_two_devices.py", "integration/test_preemption.py", "api/test_contract.py", "docs/test_runs.py",
    "resume/test_step_that_augments.py",
    "integration/test_notices.py", "resume/test_session.py", "control_plane/test_chaos.py", "resume/test_chaos.py",
    "integration/test_extensions.py", "integration/test_logs.py", "control_plane/test_notices.py",
    "resume/test_moves.py",
    "faults/test_store_away.py", "control_plane/test_zombie.py", "service/test_rules.py",
)  # fmt: skip
"""Files of 40 s and more, the longest first: where files are run side by side, the last must not be a long one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, in that order; the others as they were."""
    rank = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    assert all(path.exists() for path in rank), "a long file was moved: change LONG"
    items.sort(key=lambda item: rank.get(item.path, len(LONG)))


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
