"""Detects a full or failing disk of the database. The messages name the path and the next step."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import URL

DISK_FULL = "53100"
"""SQLSTATE."""

LEAST_FREE = 1 << 20
"""A disk with fewer free bytes counts as full: a checkpoint's row or a migration may not fit."""

ADVICE = "make room there; no accepted data is lost, and the service then continues without a restart"


def database_file(url: URL) -> Path | None:
    """The file of a SQLite database. None for a server."""
    return Path(url.database).absolute() if url.get_backend_name() == "sqlite" and url.database else None


def free_bytes(path: Path) -> int | None:
    """Bytes that an unprivileged process may still write to the disk of the path. None if unknown."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def full_disk(error: BaseException, url: URL) -> str | None:
    """The message for an error that a full disk caused. None for other errors."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlstate", None) == DISK_FULL:
        said = " ".join(str(cause).split("\n", 1)[0].split())[:200]
        return f"the disk of the PostgreSQL server is full ({said}): {ADVICE}"
    file, code = database_file(url), _sqlite_code(cause)
    if file is None:
        return None
    if code == sqlite3.SQLITE_FULL:
        return _full(file)
    return _full(file) if code == sqlite3.SQLITE_IOERR and no_room(file) else None


def failing_disk(error: BaseException, url: URL) -> str | None:
    """The message for an I/O error of a SQLite file on a disk that is not full. None for other errors."""
    file = database_file(url)
    if file is None or _sqlite_code(getattr(error, "orig", None)) != sqlite3.SQLITE_IOERR:
        return None
    return f"the disk of the database {file} fails (disk I/O error): look at the machine's log, and at the mount"


def crowded_disk(url: URL) -> str | None:
    """The message for a SQLite file whose disk is full, before a write has failed. None if the disk has room."""
    file = database_file(url)
    return _full(file) if file is not None and no_room(file) else None


def no_room(file: Path) -> bool:
    """Whether the file's disk is full."""
    free = free_bytes(file.parent)
    return free is not None and free < LEAST_FREE


def _sqlite_code(cause: object) -> int:
    """The primary result code. Extended codes contain it in their low byte."""
    return (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF if isinstance(cause, sqlite3.Error) else 0


def _full(file: Path) -> str:
    # SQLite reports the same error for the disk of its temporary files.
    where = "" if no_room(file) else f", or that of SQLite's temporary files ({tempfile.gettempdir()}),"
    return f"the disk of the database {file}{where} is full: {ADVICE}"
