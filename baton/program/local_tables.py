"""history.csv and series.csv of a local run. Both can be cut back to what belongs to a save."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path

from baton.program.backend import Point
from baton.program.call_lock import CallLock
from baton.program.errors import ProgramError
from baton.system.caches import sync_directory

_FLUSH_SECONDS = 1.0
_FLUSH_POINTS = 10_000
_HEADER = b"name,step,value\n"


class Series:
    """Points, appended to a file. The file has no times, so that an interrupted run ends with the same bytes.

    `size`: bytes that belong to the save from which the run continues; the rest is cut off.
    """

    def __init__(self, file: Path, size: int | None) -> None:
        self._lock = CallLock()
        self._points: list[Point] = []
        self._flushed_at = time.monotonic()
        # Unbuffered: a process that is forked must not have a copy of bytes that are not yet written.
        self._file = file.open("r+b" if file.exists() else "w+b", buffering=0)
        self._file.truncate(min(size or 0, file.stat().st_size))
        self._size = self._file.seek(0, os.SEEK_END)
        if self._size == 0:
            self._write(_HEADER)

    def add(self, points: list[Point]) -> None:
        """Adds points. Writes them at least once a second while points come."""
        with self._lock:
            self._points += points
            if len(self._points) > _FLUSH_POINTS or time.monotonic() - self._flushed_at > _FLUSH_SECONDS:
                self._flush()

    def size(self) -> int:
        """Bytes of all points so far."""
        with self._lock:
            self._flush()
            return self._size

    def sync(self) -> None:
        """Makes the written points survive a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Writes the remaining points."""
        with self._lock:
            self._flush()
            self._file.close()

    def _flush(self) -> None:
        # repr() of a float is the shortest text that is read as the same number.
        text = "".join(f"{name},{step},{value!r}\n" for name, step, value, _ in self._points)
        self._points.clear()
        self._flushed_at = time.monotonic()
        self._write(text.encode())

    def _write(self, content: bytes) -> None:
        while content:
            written = self._file.write(content) or 0
            self._size += written
            content = content[written:]


class History:
    """Rows with the columns epoch, step and the metrics. The file is replaced as a whole for each row.

    `rows`: rows that belong to the save from which the run continues; the rest is cut off.
    """

    def __init__(self, file: Path, rows: int) -> None:
        self._file = file
        self._lock = CallLock()
        self._rows = _rows_of(file)[:rows]
        self._write()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, epoch: int, step: int, metrics: dict[str, float]) -> None:
        """Adds a row, and a column for each new metric."""
        row = {"epoch": str(epoch), "step": str(step), **{name: repr(value) for name, value in metrics.items()}}
        with self._lock:
            self._rows.append(row)
            self._write()

    def _write(self) -> None:
        columns = dict.fromkeys(("epoch", "step"))
        for row in self._rows:
            columns.update(dict.fromkeys(name for name, value in row.items() if value != ""))
        text = io.StringIO()
        writer = csv.DictWriter(text, [*columns], restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        replace_file(self._file, text.getvalue().encode())


def _rows_of(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as read:
            return [dict(row) for row in csv.DictReader(read)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProgramError(
            f"{file} is damaged ({error}). Put a good copy there, or delete it: the run then continues without its rows"
        ) from None


def replace_file(file: Path, content: bytes) -> None:
    """Writes the file so that a kill or a power cut leaves either the old or the new content."""
    temporary = file.with_name(f".{file.name}.part")
    with temporary.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    sync_directory(file.parent)
