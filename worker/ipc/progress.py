"""The progress of a training process, in shared memory that its supervisor can read at any time.

The supervisor cannot ask the process: native code that holds the interpreter's lock stops all Python threads. So the
process writes to shared memory, and the supervisor (worker.supervisor.stall_detector) reads it. A process has one
cell. Code that makes progress calls `advanced`. Without a supervisor these calls have no effect.
"""

from __future__ import annotations

import math
import mmap
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from baton.domain.spec.limits import DEFAULT_STALL
from worker.ipc.shared_memory import memory_file

SIZE = 4096
MAX_TEXT = 400
_HEAD = struct.Struct("=QddQ")
"""Number of advances, stall limit, time by which the process must have ended, whether a cancellation set this time."""


@dataclass(frozen=True)
class Seen:
    """The content of a cell. `advances`: how often progress was made. `limit`: allowed seconds without progress.

    `end_by`: the process must end before this time of `time.monotonic`; infinite: no limit. `cancelled`: the reason for
    `end_by` is a cancellation, not a lost lease. `doing`: the current activity in words.
    """

    advances: int
    limit: float
    end_by: float
    cancelled: bool
    doing: str


class Cell:
    """One process writes, from any thread; another process reads. The reader may get a partly written text."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        self._lock = threading.Lock()
        self._memory = memory or mmap.mmap(-1, SIZE)
        if memory is None:
            self._reset()

    def attach(self, descriptor: int) -> None:
        """From now on uses the shared memory of this file descriptor."""
        self._memory = mmap.mmap(descriptor, SIZE)
        self._reset()

    def _reset(self) -> None:
        self._advances, self._limit, self._end_by, self._cancelled = 0, DEFAULT_STALL, math.inf, False
        self._write("starting")

    def _write(self, doing: str | None = None) -> None:
        if doing is not None:
            text = doing.encode(errors="replace")[:MAX_TEXT]
            self._memory[_HEAD.size : _HEAD.size + MAX_TEXT] = text.ljust(MAX_TEXT, b"\0")
        self._memory[: _HEAD.size] = _HEAD.pack(self._advances, self._limit, self._end_by, self._cancelled)

    def advanced(self, doing: str | None = None) -> None:
        """Counts progress: a step, a batch, an image, an answer. `doing`: what comes next, in words."""
        with self._lock:
            self._advances += 1
            self._write(doing)

    def doing(self, text: str) -> None:
        """Sets the text that describes the current wait. This is not progress."""
        with self._lock:
            self._write(text)

    def allow(self, seconds: float) -> None:
        """Sets the stall limit of the attempt that begins."""
        with self._lock:
            self._limit = seconds
            self._advances += 1
            self._write()

    def end_within(self, seconds: float, *, cancelled: bool) -> None:
        """The process must end within `seconds`. Only the first call has an effect."""
        with self._lock:
            if math.isinf(self._end_by):
                self._end_by, self._cancelled = time.monotonic() + seconds, cancelled
                self._write()

    def seen(self) -> Seen:
        """The content, for the reading process."""
        advances, limit, end_by, cancelled = _HEAD.unpack(self._memory[: _HEAD.size])
        text = self._memory[_HEAD.size : _HEAD.size + MAX_TEXT].rstrip(b"\0")
        doing = text.decode(errors="replace") or "starting"
        return Seen(advances, limit or DEFAULT_STALL, end_by or math.inf, bool(cancelled), doing)


CELL = Cell()
"""The cell of this process."""


class SharedCell(Cell):
    """A cell for a process that is about to be started: pass `descriptor` to it."""

    def __init__(self) -> None:
        self._file = memory_file(size=SIZE)
        super().__init__(mmap.mmap(self._file.fileno(), SIZE))

    @property
    def descriptor(self) -> int:
        """The file descriptor of the shared memory."""
        return self._file.fileno()

    def close(self) -> None:
        """Closes the descriptor. The cell stays readable."""
        self._file.close()


advanced = CELL.advanced
doing = CELL.doing


class Waits:
    """Whether the training loop waits for another thread. During a wait, each answer to that thread is progress."""

    def __init__(self, cell: Cell = CELL) -> None:
        self._cell, self._what = cell, ""

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Within this context the loop waits. `what`: a text that describes what it waits for."""
        self._what = what
        self._cell.advanced(what)
        try:
            yield
        finally:
            self._what = ""
            self._cell.advanced()

    def answered(self) -> None:
        """A call to the service or the store succeeded or failed. Failures count too: an outage is not a stall."""
        if self._what:
            self._cell.advanced(self._what)
