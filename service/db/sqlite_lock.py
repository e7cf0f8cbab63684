"""A SQLite file serves one service process: the right to it is a lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url


class DatabaseTaken(Exception):
    """Another service uses the file; the message says what to do."""


@contextmanager
def exclusive_use(url: str) -> Iterator[None]:
    """Hold the file of a SQLite URL; other databases are for many. Raises DatabaseTaken and OSError.

    Not the file itself is locked but one beside it: closing any handle of the file would drop SQLite's own locks.
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
            raise DatabaseTaken(_advice(parsed.database, lock.read().strip())) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _advice(file: str, process: str) -> str:
    return (
        f"another service (process {process or 'unknown'}) uses {file}, and SQLite is for one: stop that one, "
        "or give all replicas the same postgresql+psycopg:// URL"
    )
