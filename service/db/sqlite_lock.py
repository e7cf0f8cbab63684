"""Allows one service process per SQLite file, by a file lock. The kernel releases it when the process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url


class DatabaseTaken(Exception):
    """Another service process uses the file. The message says what to do."""


@contextmanager
def exclusive_use(url: str) -> Iterator[None]:
    """Hold the lock of a SQLite file. No effect for other databases. Raises DatabaseTaken and OSError.

    The lock is on a separate file: closing any handle of the database file would release SQLite's own POSIX locks.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    path = Path(f"{Path(parsed.database).absolute()}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DatabaseTaken(
                f"another service (process {lock.read().strip() or 'unknown'}) uses {parsed.database}, and only one "
                "can use a SQLite file: stop that one, or give all replicas the same postgresql+psycopg:// URL"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
