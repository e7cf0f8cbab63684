"""Migrates a PostgreSQL database that is in use: one process at a time, short lock waits, and retries.

A statement that waits for a table's lock blocks every later statement on that table. Therefore a wait for a lock is
limited to LOCK_SECONDS. After that, the migration is rolled back, so that the waiting statements of the service can
run. Then the migration is tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from baton.domain.backoff import backoff

LOCK_ID = 0x6261746F6E  # "baton"
LOCK_SECONDS = 5.0
WAIT_SECONDS = 300.0
POLL_SECONDS = 0.5
LOOK_SECONDS = 1.0
MAX_PAUSE = 15.0
LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
_T = TypeVar("_T")
log = logging.getLogger(__name__)
_BLOCKERS = text(
    "SELECT pid, usename, application_name, client_addr, state, extract(epoch FROM now() - xact_start) AS seconds "
    "FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(:pid)) AND pid <> pg_backend_pid() ORDER BY xact_start"
)
"""Without this query itself: an index build waits for its snapshot too, for some milliseconds."""
_HOLDERS = text(
    "SELECT a.pid, a.usename, a.application_name, a.client_addr, a.state, extract(epoch FROM now() - a.xact_start) "
    "AS seconds FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32) | l.objid::bigint = :id AND l.objsubid = 1"
)


class UnfitDatabase(Exception):
    """A database that cannot be used. The message says what to do."""


class Contention:
    """Waits for other migrations and for locks, `seconds` in total. Reports the blocking processes to `say`."""

    def __init__(self, engine: Engine, seconds: float, say: Callable[[str], object]) -> None:
        self._engine, self._say = engine, say
        self._seconds, self._until = seconds, time.monotonic() + seconds
        self._blockers = ""

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """Returns the result of the work. Repeats all of it after a lock conflict. Raises UnfitDatabase."""
        with self._engine.connect() as connection, self._turn(connection), self._watched(connection):
            tries = 0
            while True:
                # An index is built concurrently with readers and writers, so a longer wait is harmless.
                connection.execute(text(f"SET lock_timeout = {round(LOCK_SECONDS * 1000)}"))
                connection.commit()
                connection.info["index_lock_seconds"] = max(1.0, self._left)
                try:
                    return work(connection)
                except OperationalError as error:
                    connection.rollback()
                    if getattr(error.orig, "sqlstate", None) not in (LOCK_NOT_AVAILABLE, DEADLOCK):
                        raise
                    tries += 1
                    if self._left <= 0:
                        raise self._gave_up() from error
                    time.sleep(min(backoff(1.0, tries, MAX_PAUSE, 0.5), max(0.0, self._left)))

    @property
    def _left(self) -> float:
        return self._until - time.monotonic()

    def _gave_up(self) -> UnfitDatabase:
        return UnfitDatabase(
            f"others held locks for {self._seconds:g} s, and the migration could not continue: "
            f"{self._blockers or 'they are unknown'}. End these processes (SELECT pg_terminate_backend(PID)), then "
            "migrate again"
        )

    @contextmanager
    def _turn(self, connection: Connection) -> Iterator[None]:
        # Poll for the lock: a waiting statement has a snapshot, and a concurrent index build would wait for its end.
        # The migrating session holds the lock, so that PostgreSQL detects a deadlock with an older version that does
        # wait.
        while not self._try_turn(connection):
            holders = self._processes(_HOLDERS, {"id": LOCK_ID})
            if self._left <= 0:
                raise UnfitDatabase(
                    f"another process has been migrating it for {self._seconds:g} s: {holders}. Wait for it, or end it"
                )
            self._say(f"waiting for another migration: {holders}")
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self._give_turn(connection)

    def _try_turn(self, connection: Connection) -> bool:
        got = bool(connection.execute(text("SELECT pg_try_advisory_lock(:id)"), {"id": LOCK_ID}).scalar())
        connection.commit()
        return got

    def _give_turn(self, connection: Connection) -> None:
        try:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": LOCK_ID})
            connection.commit()
        except DBAPIError as error:  # the session has ended, and its locks with it
            log.warning("the migration's lock was released, because its connection was lost: %s", error.orig)

    @contextmanager
    def _watched(self, connection: Connection) -> Iterator[None]:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.commit()
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(pid, over), name="blockers", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _watch(self, pid: int, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            try:
                if blockers := self._processes(_BLOCKERS, {"pid": pid}):
                    self._say(f"waiting for locks: {blockers}")
                    self._blockers = blockers
            except DBAPIError as error:
                log.warning("the processes that block the migration are unknown: %s", error.orig)

    def _processes(self, query: object, values: dict[str, object]) -> str:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            rows = connection.execute(query, values).all()  # type: ignore[call-overload]  # a text clause
        return "; ".join(
            f"process {row.pid} of {row.usename}{f' ({row.application_name})' if row.application_name else ''}"
            f"{f' at {row.client_addr}' if row.client_addr else ''}, {row.state}"
            + (f", its transaction {row.seconds:.0f} s old" if row.seconds is not None else "")
            for row in rows
        )
