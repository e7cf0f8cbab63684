"""Engine and transactions: SQLite writers take their lock first, PostgreSQL locks the job's row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

from service.db.event_sink import HAPPENED, EventSink
from service.db.fifo_lock import FifoLock

BUSY_MILLISECONDS = 30_000
POOL_SECONDS = 10
# PostgreSQL refuses NaN in JSON; so does SQLite here.
_JSON = partial(json.dumps, allow_nan=False)
WRITE = {"baton_begin": "BEGIN IMMEDIATE"}
# A server that vanished is noticed within half a minute, not when the kernel gives up.
_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# What waits too long fails and is tried again. A replica that stands still in the middle of a transaction, with a
# job's row in its hand, is cut off.
_LIMITS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=15s"


def open_engine(url: str, *, connections: int = 20, migrating: bool = False) -> Engine:
    """An engine for the URL; a SQLite file's directory is made. `migrating`: no foreign keys on SQLite, no limits."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, foreign_keys=not migrating)
    # More threads than connections wait for each other here, not at the server, which refuses what is too many.
    return create_engine(
        parsed,
        pool_pre_ping=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        json_serializer=_JSON,
        connect_args=_arguments(parsed, "" if migrating else _LIMITS),
    )


def _arguments(url: URL, limits: str) -> dict[str, Any]:
    """What the driver is told, as far as the URL does not say it."""
    wanted = {**_NETWORK, "options": limits, "application_name": "baton"}
    return {name: value for name, value in wanted.items() if name not in url.query and value}


def _open_sqlite(url: URL, *, foreign_keys: bool) -> Engine:
    if url.database:
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=20, max_overflow=20, json_serializer=_JSON)
    _prepare_sqlite(engine, foreign_keys)
    return engine


def _prepare_sqlite(engine: Engine, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not open transactions of its own
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A reader that turns writer midway can fail at once, whatever the busy timeout; so writers say so at the start.
        connection.exec_driver_sql(connection.get_execution_options().get("baton_begin", "BEGIN"))


def _reading(engine: Engine) -> Engine:
    """SQLite's readers see one state by nature; PostgreSQL's are told to."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


class Database:
    """Where transactions come from. `turns`: those that writers of the same SQLite file in this process share.

    `heard`: is told of each event of a job once it is committed; must not fail. `info`: what its sessions carry along
    for the use cases, by name.
    """

    def __init__(
        self,
        engine: Engine,
        turns: FifoLock | None = None,
        heard: Callable[[EventSink], None] = lambda _event: None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.engine, self._heard = engine, heard
        self._turn: Callable[[], AbstractContextManager[None]] = (
            nullcontext if self.shared else (turns or FifoLock()).turn
        )
        carried = dict(info or {})
        self._readers = sessionmaker(_reading(engine), expire_on_commit=False, info=carried)
        self._writers = sessionmaker(engine.execution_options(**WRITE), expire_on_commit=False, info=carried)
        self._peeks = engine.execution_options(isolation_level="AUTOCOMMIT") if self.shared else engine

    @property
    def shared(self) -> bool:
        """Whether several replicas of the service may use it at once."""
        return self.engine.dialect.name != "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads: one consistent state of the database."""
        with self._readers() as session:
            yield session

    def peek(self) -> Connection:
        """For one SELECT: on PostgreSQL without the round trips of a transaction. To be used as a context manager."""
        return self._peeks.connect()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes: all of it, or nothing on an exception."""
        with self._turn(), self._writers.begin() as session:
            yield session
        for one in session.info.pop(HAPPENED, ()):
            self._heard(one)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
