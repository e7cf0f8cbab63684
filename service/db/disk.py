"""Names a full or failing disk below the database, in words that say where and what to do."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import URL

DISK_FULL = "53100"
"""SQLSTATE."""

LEAST_FREE = 1 << 20
"""A disk with fewer bytes than this is full: no checkpoint's row and no migration can be trusted to fit."""

ADVICE = "make room there; nothing that was accepted is lost, and all goes on by itself"


def database_file(url: URL) -> Path | None:
    """The file of a SQLite database; None for a server."""
    return Path(url.database).absolute() if url.get_backend_name() == "sqlite" and url.database else None


def free_bytes(path: Path) -> int | None:
    """What a process without privileges may still write to the disk of the path; None where that is not known."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def full_disk(error: BaseException, url: URL) -> str | None:
    """What to say of an error that a full disk caused; None for any other error."""
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
    """What to say of an I/O error below a SQLite file whose disk has room; None for any other error."""
    file = database_file(url)
    if file is None or _sqlite_code(getattr(error, "orig", None)) != sqlite3.SQLITE_IOERR:
        return None
    return f"the disk of the database {file} fails (disk I/O error): look at the machine's log, and at the mount"


def crowded_disk(url: URL) -> str | None:
    """What to say of a SQLite file whose disk is full, before any write has failed; None where it has room."""
    file = database_file(url)
    return _full(file) if file is not None and no_room(file) else None


def no_room(file: Path) -> bool:
    """Whether the file's disk is full."""
    free = free_bytes(file.parent)
    return free is not None and free < LEAST_FREE


def _sqlite_code(cause: object) -> int:
    """The primary result code; the extended ones have it in their low byte."""
    return (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF if isinstance(cause, sqlite3.Error) else 0


def _full(file: Path) -> str:
    # SQLite says the same of the disk of its temporary files.
    where = "" if no_room(file) else f", or that of SQLite's temporary files ({tempfile.gettempdir()}),"
    return f"the disk of the database {file}{where} is full: {ADVICE}"
