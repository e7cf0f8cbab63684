"""Sets the database's clock forward and back while the service runs, on SQLite and on PostgreSQL.

The service reads the time from its database. Here the database function that it calls is replaced by another one,
which adds an offset.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from mmap import mmap
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, event, text

SCHEMA = "moved_clock"
MAKE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.moved (seconds double precision NOT NULL);
TRUNCATE {SCHEMA}.moved;
INSERT INTO {SCHEMA}.moved VALUES (0);
CREATE OR REPLACE FUNCTION {SCHEMA}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  $$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM {SCHEMA}.moved)) $$;
"""


class MovedClock(Protocol):
    """A clock that is right until it is moved."""

    def move(self, seconds: float) -> None:
        """Move the clock by this many seconds. A negative number moves it back."""
        ...


class _OnSqlite:
    """A Python function that replaces SQLite's `strftime` on each connection that is opened from now on.

    `offset`: one number, in seconds.
    """

    def __init__(self, offset: MutableSequence[float]) -> None:
        self._offset = offset

    def connected(self, connection: Any, _record: Any) -> None:
        connection.create_function("strftime", 2, self._strftime)

    def _strftime(self, form: str, _now: str) -> str:
        assert form == "%Y-%m-%d %H:%M:%f000", "this replacement supports only the format that the service uses"
        moment = datetime.now(UTC) + timedelta(seconds=self._offset[0])
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}000"

    def move(self, seconds: float) -> None:
        self._offset[0] += seconds


class _OnPostgresql:
    """A function of the same name in a schema that is searched before PostgreSQL's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            connection.execute(text(MAKE))

    def connected(self, connection: Any, _record: Any) -> None:
        _search_schema_first(connection)

    def move(self, seconds: float) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(f"UPDATE {SCHEMA}.moved SET seconds = seconds + :by"), {"by": seconds})


def _search_schema_first(connection: Any) -> None:
    before, connection.autocommit = connection.autocommit, True
    connection.execute(f"SET search_path = {SCHEMA}, pg_catalog, public")
    connection.autocommit = before


def _shared_number(file: Path) -> MutableSequence[float]:
    """A number in a file, which all processes that map the file see. It is 0 in a new file."""
    if not file.exists():
        file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        return memoryview(mmap(opened.fileno(), 8)).cast("d")  # type: ignore[return-value]


def follow(file: Path) -> None:
    """Give all engines of this process the clock that another process moves: `moved_clock(..., file=file)`.

    On PostgreSQL, that process must have entered its context after the migrations and before this call.
    """
    on_sqlite = _OnSqlite(_shared_number(file))

    def connected(connection: Any, record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            on_sqlite.connected(connection, record)
        else:
            _search_schema_first(connection)

    event.listen(Engine, "connect", connected)


@contextmanager
def moved_clock(*engines: Engine, file: Path | None = None) -> Iterator[MovedClock]:
    """The clock of the database of these engines. Their open connections are closed.

    `file`: shares the clock with the processes that `follow` it.
    """
    clock: _OnSqlite | _OnPostgresql
    if engines[0].dialect.name == "sqlite":
        clock = _OnSqlite(array("d", [0.0]) if file is None else _shared_number(file))
    else:
        clock = _OnPostgresql(engines[0])
    for engine in engines:
        event.listen(engine, "connect", clock.connected)
        engine.dispose()
    try:
        yield clock
    finally:
        for engine in engines:
            event.remove(engine, "connect", clock.connected)
            engine.dispose()
