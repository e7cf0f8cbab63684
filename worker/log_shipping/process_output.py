"""The standard output and error of a process: a file, so that no reader that is slow or stopped holds the writer up."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress

POLL_SECONDS = 0.1
CHUNK_BYTES = 64 << 10
MAX_READ = 1 << 20
MAX_FILE_BYTES = 64 << 20
LONGEST_LINE = 8 << 10
DRAIN_SECONDS = 5.0
STDERR = 2


class Output:
    """Give it to Popen as stdout and stderr. A thread hands on all that is written: to `hear`, and to our own stderr,
    there as `show` says, which is given whole lines.

    The file has no name, so whatever ends this process leaves nothing behind. It is cut when it has been read beyond
    MAX_FILE_BYTES; a line that is written in that very moment is lost.
    """

    def __init__(self, hear: Callable[[bytes], None], show: Callable[[bytes], bytes] = lambda text: text) -> None:
        self._hear, self._tee, self._offset = hear, _Tee(show), 0
        self._file = tempfile.TemporaryFile(prefix="baton-output-", buffering=0)  # noqa: SIM115 - open until close()
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_APPEND)  # so that who writes goes on at a new end
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """The file, for Popen."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._file.fileno()).st_size

    def read(self, offset: int) -> bytes:
        """What was written from this place on, at most MAX_READ bytes; empty where the file was cut since."""
        return os.pread(self._file.fileno(), MAX_READ, offset)

    def close(self) -> None:
        """Hands on what is left. The process must have ended."""
        self._ended.set()
        self._thread.join(DRAIN_SECONDS)
        if not self._thread.is_alive():
            self._file.close()

    def _run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._drain()
        self._drain()
        self._tee.flush()

    def _drain(self) -> None:
        # By position: the file's own offset is shared with the process that writes.
        while chunk := os.pread(self._file.fileno(), CHUNK_BYTES, self._offset):
            self._offset += len(chunk)
            self._hear(chunk)
            self._tee.write(chunk)
        if self._offset > MAX_FILE_BYTES:
            os.ftruncate(self._file.fileno(), 0)
            self._offset = 0


class _Tee:
    """Our own stderr, in whole lines: the worker writes its own between them. `show`: how they are written there."""

    def __init__(self, show: Callable[[bytes], bytes]) -> None:
        self._line, self._as = b"", show

    def write(self, chunk: bytes) -> None:
        """Shows all lines that are whole."""
        self._line += chunk
        end = max(self._line.rfind(b"\n"), self._line.rfind(b"\r")) + 1
        self._show(end or (len(self._line) if len(self._line) > LONGEST_LINE else 0))

    def flush(self) -> None:
        """Shows what is left."""
        self._show(len(self._line))

    def _show(self, end: int) -> None:
        text, self._line = self._line[:end], self._line[end:]
        if text:
            with suppress(OSError):  # a stderr that is gone is no reason to stop
                _write(self._as(text))


def _write(text: bytes) -> None:
    # Past Python's own buffer, whose lock a fork could inherit; the worker's own lines are unbuffered as well.
    while text:
        text = text[os.write(STDERR, text) :]
