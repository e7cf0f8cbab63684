"""The database's own clock, set forward and back while the service runs: on SQLite and on PostgreSQL.

The service asks its database what time it is. Here the function that it asks is another one, which adds an offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Engine, event, text

SCHEMA = "moved_clock"
_MAKE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.moved (seconds double precision NOT NULL);
TRUNCATE {SCHEMA}.moved;
INSERT INTO {SCHEMA}.moved VALUES (0);
CREATE OR REPLACE FUNCTION {SCHEMA}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  $$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM {SCHEMA}.moved)) $$;
"""


class MovedClock(Protocol):
    """A clock that tells the right time until it is moved."""

    def move(self, seconds: float) -> None:
        """Set it by so much from where it is; below 0: back."""
        ...


class _OnSqlite:
    """Python's own `strftime` in place of SQLite's, on each connection that is opened from now on."""

    def __init__(self) -> None:
        self.offset = 0.0

    def connected(self, connection: Any, _record: Any) -> None:
        connection.create_function("strftime", 2, self._strftime)

    def _strftime(self, form: str, _now: str) -> str:
        assert form == "%Y-%m-%d %H:%M:%f000", "only the service's own question is known here"
        moment = datetime.now(UTC) + timedelta(seconds=self.offset)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}000"

    def move(self, seconds: float) -> None:
        self.offset += seconds


class _OnPostgresql:
    """A function of the same name in a schema that is looked through before PostgreSQL's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def connected(self, connection: Any, _record: Any) -> None:
        before, connection.autocommit = connection.autocommit, True
        connection.execute(f"SET search_path = {SCHEMA}, pg_catalog, public")
        connection.autocommit = before

    def move(self, seconds: float) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(f"UPDATE {SCHEMA}.moved SET seconds = seconds + :by"), {"by": seconds})


@contextmanager
def moved_clock(*engines: Engine) -> Iterator[MovedClock]:
    """The clock of these engines' database. Their connections that are open now are closed."""
    clock: _OnSqlite | _OnPostgresql
    if engines[0].dialect.name == "sqlite":
        clock = _OnSqlite()
    else:
        clock = _OnPostgresql(engines[0])
        with engines[0].begin() as connection:
            connection.execute(text(_MAKE))
    for engine in engines:
        event.listen(engine, "connect", clock.connected)
        engine.dispose()
    try:
        yield clock
    finally:
        for engine in engines:
            event.remove(engine, "connect", clock.connected)
            engine.dispose()
