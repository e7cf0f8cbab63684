"""A PostgreSQL database is migrated while other processes use it: they continue, and the error names a process that
keeps a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine, text

from service.db import postgres_migration
from service.db.engine import open_engine
from service.db.migrate import Standing, UnfitDatabase, migrate, standing
from service.db.postgres_migration import LOCK_ID
from tests.service.helpers import eventually
from tests.service.rows import fill
from tests.support.postgres import PostgresServer

INVALID = text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
INDEX = text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_workers_last_seen_at'::regclass")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"LOCK_SECONDS": 0.2, "LOOK_SECONDS": 0.05, "POLL_SECONDS": 0.05, "MAX_PAUSE": 0.1}.items():
        monkeypatch.setattr(postgres_migration, name, seconds)


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


def at(url: str, revision: str) -> str:
    migrate(url)
    migrate(url, revision)
    with connection_to(url) as connection:
        fill(connection)
        connection.commit()
    return url


@contextmanager
def connection_to(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def writing(url: str) -> Iterator[list[int]]:
    """Insert rows as a service does, one after the other, each in its own transaction.

    The value is the number of rows written.
    """
    written, over = [0], threading.Event()

    def write() -> None:
        engine = open_engine(url)
        while not over.wait(0.01):
            with engine.begin() as connection:
                connection.execute(text("UPDATE jobs SET version = version + 1"))
                connection.execute(text("UPDATE workers SET pid = pid + 1"))
            written[0] += 1
        engine.dispose()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(write)
        try:
            yield written
        finally:
            over.set()
        done.result()  # raises if a write failed


@contextmanager
def migrating(url: str, lines: list[str]) -> Iterator[Future[Standing]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(lambda: migrate(url, seconds=60, say=lines.append))


def wait_for_writes(written: list[int], more: int = 5) -> None:
    wanted = written[0] + more
    eventually(lambda: written[0] >= wanted)


@pytest.mark.parametrize("revision", ["0007", "0008"])  # 0007 changes tables, 0008 only builds indexes
def test_writers_go_on_while_a_lock_is_waited_for(url: str, revision: str) -> None:
    at(url, revision)
    lines: list[str] = []
    with connection_to(url) as holder, writing(url) as written:
        pid = holder.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        holder.execute(text("SELECT count(*) FROM jobs"))
        holder.execute(text("UPDATE workers SET version = version WHERE name = 'nobody'"))
        with migrating(url, lines) as done:
            eventually(lambda: any(f"waiting for locks: process {pid} of" in line for line in lines))
            wait_for_writes(written)
            assert not done.done()
            holder.rollback()
            assert done.result(60).behind
        wait_for_writes(written)
    assert not standing(url).behind
    with connection_to(url) as connection:
        assert connection.execute(INVALID).scalar_one() == 0
        assert connection.execute(INDEX).scalar_one() is True


def test_who_does_not_let_go_is_named_and_nothing_is_changed(url: str) -> None:
    at(url, "0007")
    with connection_to(url) as holder:
        pid = holder.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        holder.execute(text("SELECT count(*) FROM jobs"))
        with pytest.raises(UnfitDatabase, match=f"process {pid} of .*pg_terminate_backend"):
            migrate(url, seconds=1.0)
    assert standing(url).found == "0007"
    migrate(url)


def test_an_index_that_was_left_half_built_is_built_again(url: str) -> None:
    at(url, "0008")
    with connection_to(url) as holder:
        # The snapshot is older than the index, so the build waits until this transaction ends.
        holder.execution_options(isolation_level="REPEATABLE READ")
        holder.execute(text("SELECT count(*) FROM workers"))
        with pytest.raises(UnfitDatabase, match="others held locks"):
            migrate(url, seconds=0.5)
    with connection_to(url) as connection:
        assert connection.execute(INVALID).scalar_one() == 1
    assert standing(url).found == "0008"
    migrate(url)
    with connection_to(url) as connection:
        assert connection.execute(INVALID).scalar_one() == 0


def test_another_migration_is_waited_for_and_named(url: str) -> None:
    with connection_to(url) as other:
        pid = other.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        # The previous release takes its migration lock like this.
        other.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
        with pytest.raises(UnfitDatabase, match=f"another process has been migrating it .* process {pid} of"):
            migrate(url, seconds=0.2)
        lines: list[str] = []
        with migrating(url, lines) as done:
            eventually(lambda: any("waiting for another migration" in line for line in lines))
            other.rollback()
            assert done.result(60).behind
