"""The standard output and error of a process: a file, so that a slow or stopped reader never blocks the writer."""

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
    """Pass its `fileno()` to Popen as stdout and stderr. A thread passes the output to `on_output`, and writes it in
    whole lines to the stderr of the worker. `show` formats them.

    The file has no name, so it never outlives this process. It is truncated when more than MAX_FILE_BYTES are read; a
    line that is written at that moment is lost.
    """

    def __init__(self, on_output: Callable[[bytes], None], show: Callable[[bytes], bytes] = lambda text: text) -> None:
        self._on_output, self._tee, self._offset = on_output, _Tee(show), 0
        self._file = tempfile.TemporaryFile(prefix="baton-output-", buffering=0)  # noqa: SIM115 - open until close()
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        # With O_APPEND the writer continues at the new end after a truncation.
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_APPEND)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """The file descriptor, for Popen."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Current size of the file in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def read(self, offset: int) -> bytes:
        """The bytes from `offset`, at most MAX_READ; empty if the file was truncated meanwhile."""
        return os.pread(self._file.fileno(), MAX_READ, offset)

    def close(self) -> None:
        """Passes on the rest of the output. The process must have ended."""
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
        # pread is used because the file offset is shared with the writing process.
        while chunk := os.pread(self._file.fileno(), CHUNK_BYTES, self._offset):
            self._offset += len(chunk)
            self._on_output(chunk)
            self._tee.write(chunk)
        if self._offset > MAX_FILE_BYTES:
            os.ftruncate(self._file.fileno(), 0)
            self._offset = 0


class _Tee:
    """Writes only whole lines, because the worker writes its own lines to the same stderr. `show`: formats them."""

    def __init__(self, show: Callable[[bytes], bytes]) -> None:
        self._line, self._format = b"", show

    def write(self, chunk: bytes) -> None:
        """Writes all complete lines."""
        self._line += chunk
        end = max(self._line.rfind(b"\n"), self._line.rfind(b"\r")) + 1
        self._show(end or (len(self._line) if len(self._line) > LONGEST_LINE else 0))

    def flush(self) -> None:
        """Writes the rest."""
        self._show(len(self._line))

    def _show(self, end: int) -> None:
        text, self._line = self._line[:end], self._line[end:]
        if text:
            # sys.stderr is not used: a forked process could inherit the locked buffer.
            with suppress(OSError):  # a closed stderr must not stop the worker
                shown = self._format(text)
                while shown:
                    shown = shown[os.write(STDERR, shown) :]
