"""Remembers digests of local files, so that a second or a resumed push reads no unchanged file again.

A file is recognized by path, size, modification time and inode. A file that was modified less than RACY_NS before it
was read is not remembered, because a second change within the resolution of the clock would not be noticed.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from baton.client.pushing.local_files import LocalFile

RACY_NS = 2_000_000_000
KEPT_SECONDS = 180 * 86_400
COMMIT_SECONDS = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, sha256 TEXT, at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS packs (content BLOB PRIMARY KEY, sha256 TEXT, at REAL) WITHOUT ROWID;
"""
_T = TypeVar("_T")


class HashCache:
    """A context manager. Thread-safe. If its file cannot be used, nothing is remembered, and the push still works."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        self._rows: sqlite3.Connection | None = None
        self._committed_at = time.monotonic()

    def __enter__(self) -> Self:
        self._try(self._open, None)
        return self

    def _open(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Several threads use it, one at a time.
        self._rows = sqlite3.connect(self._file, timeout=5.0, check_same_thread=False)
        self._rows.executescript(_SCHEMA)
        for table in ("files", "packs"):
            self._rows.execute(f"DELETE FROM {table} WHERE at < ?", (time.time() - KEPT_SECONDS,))  # noqa: S608 - own names
        self._rows.commit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._try(self._close, None)

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.commit()
            self._rows.close()
        self._rows = None

    def keep(self) -> None:
        """Write what is remembered so far to the disk, so that a kill does not lose it."""
        self._try(self._commit, None)

    def _commit(self) -> None:
        if self._rows is not None:
            self._rows.commit()
        self._committed_at = time.monotonic()

    def file(self, file: LocalFile) -> str | None:
        """The SHA-256 of the file, if it is known and the file has not changed."""
        query = "SELECT sha256 FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?"
        return self._one(query, (os.fsencode(file.source), file.size, file.mtime_ns, file.inode))

    def add_file(self, file: LocalFile, sha256: str) -> None:
        """Remember the SHA-256 of a file that has just been read."""
        if time.time_ns() - file.mtime_ns > RACY_NS:
            row = (os.fsencode(file.source), file.size, file.mtime_ns, file.inode, sha256, time.time())
            self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", row)

    def forget(self, files: Iterable[LocalFile]) -> None:
        """Forget files that have changed."""
        for file in files:
            self._write("DELETE FROM files WHERE path = ?", (os.fsencode(file.source),))

    def pack(self, content: bytes) -> str | None:
        """The SHA-256 of a pack with this `content_key`, if it is known."""
        return self._one("SELECT sha256 FROM packs WHERE content = ?", (content,))

    def add_pack(self, content: bytes, sha256: str) -> None:
        """Remember the SHA-256 of a pack."""
        self._write("INSERT OR REPLACE INTO packs VALUES (?, ?, ?)", (content, sha256, time.time()))

    def _one(self, query: str, values: Sequence[object]) -> str | None:
        def ask() -> str | None:
            row = None if self._rows is None else self._rows.execute(query, values).fetchone()
            return None if row is None else str(row[0])

        return self._try(ask, None)

    def _write(self, statement: str, values: Sequence[object]) -> None:
        def write() -> None:
            if self._rows is None:
                return
            self._rows.execute(statement, values)
            if time.monotonic() > self._committed_at + COMMIT_SECONDS:  # a kill loses at most this much
                self._commit()

        self._try(write, None)

    def _try(self, act: Callable[[], _T], otherwise: _T) -> _T:
        with self._lock:
            try:
                return act()
            except (sqlite3.Error, OSError):
                self._rows = None
                return otherwise


def content_key(pieces: Iterable[tuple[str, int, int]]) -> bytes:
    """A digest that names the content of a pack by its pieces: (SHA-256 of the file, start, end)."""
    text = "".join(f"{sha256}:{start}:{end}\n" for sha256, start, end in pieces)
    return hashlib.sha256(text.encode()).digest()
