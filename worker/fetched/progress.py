"""Counts the bytes of a fetch, and shows them in the job's status, to the stall detector and to waiting processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from baton.system.caches import of_total
from worker.ipc.progress import advanced

Report = Callable[[str], None]
"""Called with a text about the progress several times a second; may raise to stop."""
_SHOW_SECONDS = 0.2
_FILE_SECONDS = 1.0


class Meter:
    """The progress of a fetch. Any thread may call `add`; only the thread that fetches may call the other methods.

    `file`: waiting processes read the progress from it (`progress_of`).
    """

    def __init__(self, what: str, report: Report, file: Path) -> None:
        self._what, self._report, self._file = what, report, file
        self._lock = threading.Lock()
        self._verb, self._done, self._total = "fetching", 0, 0
        self._shown = self._written = 0.0
        self._trouble = ""

    def begin(self, verb: str, done: int, total: int) -> None:
        """Begins a part of the work, such as "fetching". `done` of its `total` bytes are already on the disk."""
        with self._lock:
            self._verb, self._done, self._total = verb, done, total
        self._shown = self._written = 0.0
        self.tick()

    def add(self, count: int) -> None:
        """Counts bytes. Negative: these bytes must be fetched again. Each call counts as progress of the attempt."""
        with self._lock:
            self._done += count
            self._trouble = ""
        advanced()

    def waits(self, why: str) -> None:
        """Until more bytes arrive, shows why there is no progress."""
        with self._lock:
            self._trouble = f"; trying again: {why}"

    def at(self, done: int, total: int | None) -> None:
        """Sets and shows the number of bytes so far. Raises what `report` raises to stop a fetch."""
        with self._lock:
            more = done > self._done
            self._done, self._total = done, total or self._total
        if more:
            advanced()
        self.tick()

    def tick(self) -> None:
        """Reports the progress, at most once in _SHOW_SECONDS. Raises what `report` raises to stop a fetch."""
        now = time.monotonic()
        if now - self._shown >= _SHOW_SECONDS:
            self._shown = now
            self._report(f"{self._verb} {self._what}: {of_total(self._done, self._total or None)}{self._trouble}")
        if now - self._written >= _FILE_SECONDS:
            self._written = now
            with suppress(OSError):  # the file only informs waiting processes
                self._file.write_text(f"{self._done} {self._total}")

    def say(self, text: str) -> None:
        """Shows another text. Raises what `report` raises to stop a fetch."""
        self._report(f"{self._verb} {self._what}: {text}")
