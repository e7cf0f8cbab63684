"""The part of a log that is not shipped yet. Limits the size of a log: of a long log, the middle is left out."""

from __future__ import annotations

import threading

MEBIBYTE = 1 << 20


class Backlog:
    """Keeps the output of a process up to `limit` bytes, and the last `tail` bytes of the rest.

    The end of a log is kept because it shows why a process died. Safe to use from two threads.
    """

    def __init__(self, limit: int, tail: int) -> None:
        self._limit, self._keep = limit, tail
        self._room, self._left_out = limit, 0
        self._waiting, self._tail = bytearray(), b""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, data: bytes) -> None:
        """Adds output of the process."""
        with self._lock:
            fits, rest = data[: self._room], data[self._room :]
            self._room -= len(fits)
            self._waiting += fits
            if rest:
                self._leave_out(rest)

    def _leave_out(self, rest: bytes) -> None:
        if not self._left_out:
            size, end = f"{self._limit / MEBIBYTE:g} MiB", f"{self._keep >> 10} KiB"
            self._waiting += _line(f"this log has reached {size}: of the rest, the last {end} follow at its end")
        self._left_out += len(rest)
        self._tail = (self._tail + rest)[-self._keep :]

    def end(self, final_line: str) -> None:
        """The process has ended. `final_line`: the worker's line about it; may be empty."""
        with self._lock:
            if skipped := self._left_out - len(self._tail):
                self._waiting += _line(f"{skipped} bytes are left out here")
            self._waiting += self._tail
            if final_line:
                self._waiting += _line(final_line)
            self._tail, self._left_out = b"", 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes, or fewer if fewer are left."""
        with self._lock:
            taken = bytes(self._waiting[:size])
            del self._waiting[:size]
            return taken


def _line(text: str) -> bytes:
    return f"\nbaton: {text}\n".encode()
