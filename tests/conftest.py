"""Fixtures of several folders. One PostgreSQL server for all tests is started when the first test needs it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import process_guard
from tests.support.jobs import Jobs

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer
    from tests.support.service import ServiceProcess


FIRST = ("slow", "chaos", "docs", "process")
"""Tests with these markers run first, in this order. In a parallel run, the last test should not be a long one."""
OF_FIXTURE = {
    "postgres_server": "postgres",
    "browser": "browser",
    **dict.fromkeys(("service", "workers", "emulator", "harness", "zygote", "cluster", "installed", "up"), "process"),
}
"""Fixtures that add a marker to their tests."""
OF_PARAMETER = {"postgresql": "postgres", "gcs": "process", "s3": "process", "azure": "process"}
"""Parameters that add a marker to their tests: databases and stores that run as processes."""


MEMORY, ENOUGH = Path("/dev/shm"), 8 << 30
"""A file system in memory, and the free bytes that a whole run may need."""


def _write_into_memory() -> str | None:
    """Put temporary files into memory where there is enough of it. Returns a folder to delete at the end.

    Databases and stores wait for the disk at each commit, and other programs make the disk slow. The folder is for
    processes that are killed and leave their files behind.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ENOUGH:
        return None
    tempfile.tempdir = str(MEMORY)
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="baton-tests-")
    return os.environ["TMPDIR"]


_of_processes = _write_into_memory()
_LEFT_OUT = re.compile(r"not (\w+)(?: and not (\w+))*")
_ALL_TESTS = re.compile(r"^pytestmark = .*", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a module if the expression of -m leaves out all its tests: many of them import large packages."""
    expression = config.option.markexpr
    if collection_path.suffix != ".py" or not _LEFT_OUT.fullmatch(expression):
        return None
    of_module = _ALL_TESTS.search(collection_path.read_text())
    left_out = re.findall(r"not (\w+)", expression)
    return True if of_module and any(f"pytest.mark.{name}" in of_module[0] for name in left_out) else None


def pytest_configure(config: pytest.Config) -> None:
    process_guard.install(strict="not process" in config.option.markexpr)


def pytest_unconfigure() -> None:
    if _of_processes is not None:
        shutil.rmtree(_of_processes, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers of fixtures, and move long tests to the front. The rest keeps its order."""
    for item in items:
        for fixture, marker in OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        call = getattr(item, "callspec", None)
        for value in call.params.values() if call is not None else ():
            if isinstance(value, str) and value in OF_PARAMETER:
                item.add_marker(OF_PARAMETER[value])
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, name in enumerate(FIRST) if item.get_closest_marker(name)), len(FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """In `make check`, fail a test that starts a process without the marker for it."""
    with process_guard.watched(item):
        return (yield)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    from tests.support.postgres import running_postgres  # imported here because most tests do not need it

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """The name of a migrated database. It is made once, because creating one takes longer than most tests."""
    from service.db.migrate import migrate

    name = postgres_server.create()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """The URL of a migrated database without rows."""
    yield postgres_server.url(postgres_database)
    postgres_server.empty(postgres_database)


@pytest.fixture
def jobs(service: ServiceProcess) -> Iterator[Jobs]:
    """The jobs of the service of this folder or module."""
    with service.client() as http:
        yield Jobs(http)
