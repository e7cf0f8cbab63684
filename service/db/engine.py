"""Engine and transactions. On SQLite a writer takes the write lock first; on PostgreSQL it locks the job's row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

from service.db.committed_events import HAPPENED, CommittedEvent
from service.db.fifo_lock import FifoLock
from service.db.project_table import PROJECT
from service.pauses import pause_after

BUSY_MILLISECONDS = 30_000
POOL_SECONDS = 10
# PostgreSQL rejects NaN in JSON. Reject it on SQLite too.
_JSON = partial(json.dumps, allow_nan=False)
WRITE = {"baton_begin": "BEGIN IMMEDIATE"}
# With these values a lost server is detected within half a minute. The kernel's defaults take much longer.
_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
PAUSES = 3.0
"""The pause after a polite transaction: this many times its duration."""

MOST_PROJECTS = 1_000
"""For this many projects, the factories of their sessions are kept."""

# A statement that waits too long fails and is retried. The connection of a replica that is suspended within a
# transaction is closed, so that the replica's row locks do not block the others.
_LIMITS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=15s"


def open_engine(url: str, *, connections: int = 20, migrating: bool = False) -> Engine:
    """An engine for the URL. Creates a SQLite file's folder. `migrating`: no SQLite foreign keys, no time limits."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, foreign_keys=not migrating)
    # Threads wait in the pool for a free connection, because the server refuses connections beyond its limit.
    arguments = {**_NETWORK, "options": "" if migrating else _LIMITS, "application_name": "baton"}
    return create_engine(
        parsed,
        pool_pre_ping=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        json_serializer=_JSON,
        # Arguments in the URL take precedence.
        connect_args={name: value for name, value in arguments.items() if name not in parsed.query and value},
    )


def _open_sqlite(url: URL, *, foreign_keys: bool) -> Engine:
    if url.database:
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=20, max_overflow=20, json_serializer=_JSON)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions itself
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # Writers use BEGIN IMMEDIATE. A transaction that first reads and then writes can fail at once with SQLITE_BUSY,
        # without waiting for the busy timeout.
        connection.exec_driver_sql(connection.get_execution_options().get("baton_begin", "BEGIN"))

    return engine


class Database:
    """Creates transactions. `turns`: the lock that all writers of the same SQLite file in this process share.

    `heard`: called with each event of a job after the commit; must not raise. `info`: values for the use cases, by
    name; each session has them in its `info`.
    """

    def __init__(
        self,
        engine: Engine,
        turns: FifoLock | None = None,
        heard: Callable[[CommittedEvent], None] = lambda _event: None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.engine, self._heard = engine, heard
        self._turn: Callable[[], AbstractContextManager[None]] = (
            nullcontext if self.shared else (turns or FifoLock()).turn
        )
        self._reading = engine
        if self.shared:  # on SQLite each transaction reads one consistent state by default
            self._reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writing = engine.execution_options(**WRITE)
        self._carry(dict(info or {}))
        self._of_projects: dict[str | None, Database] = {}
        self._peeks = engine.execution_options(isolation_level="AUTOCOMMIT") if self.shared else engine

    def _carry(self, info: dict[str, Any]) -> None:
        self._info = info
        self._readers = sessionmaker(self._reading, expire_on_commit=False, info=info)
        self._writers = sessionmaker(self._writing, expire_on_commit=False, info=info)

    def of_project(self, project: str | None) -> Database:
        """The same database, whose sessions find only the things of this project. None: the things of all."""
        found = self._of_projects.get(project)
        if found is None:  # several threads may make it at the same time, because the results are equal
            found = copy(self)
            found._carry({**self._info, PROJECT: project})
            if len(self._of_projects) < MOST_PROJECTS:
                self._of_projects[project] = found
        return found

    @property
    def shared(self) -> bool:
        """Whether several replicas of the service may use the database at the same time."""
        return self.engine.dialect.name != "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only transaction. It reads one consistent state of the database."""
        with self._readers() as session:
            yield session

    def peek(self) -> Connection:
        """A connection for one SELECT, as a context manager. Avoids the round trips of a transaction on PostgreSQL."""
        return self._peeks.connect()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction. Commits at the end of the block, rolls back on an exception."""
        with self._turn(), self._writers.begin() as session:
            yield session
        for one in session.info.pop(HAPPENED, ()):
            self._heard(one)

    @contextmanager
    def write_politely(self) -> Iterator[Session]:
        """As `write`, for one of many batches: afterwards the thread pauses for three times as long as the block took.

        Without the pause, batch follows batch, and heartbeats wait for the lock of SQLite and for the interpreter.
        """
        with pause_after(PAUSES), self.write() as session:
            yield session

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()
