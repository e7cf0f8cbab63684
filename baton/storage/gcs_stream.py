"""The data of a resumable upload to Google Cloud Storage, in requests that are large and need little memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from baton.storage.checksum import CHUNK_BYTES
from baton.storage.errors import LocalFileError
from baton.storage.local_files import local_errors

FIRST_BYTES = 8 * 2**20
MOST_BYTES = 128 * 2**20
_UNIT_BYTES = 256 * 2**10  # each request except the last has a multiple of it
_REQUEST_SECONDS = 8.0  # the intended duration of a request; after a lost connection its bytes are sent again


class Body:
    """The bytes [start, end) of the data as the body of a request. A retry iterates over them again."""

    def __init__(self, data: memoryview | BinaryIO, start: int, end: int) -> None:
        self._data, self._start, self._end = data, start, end

    def __len__(self) -> int:
        """Bytes."""
        return self._end - self._start

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield pieces of at most 1 MiB. Raises LocalFileError."""
        for at in range(self._start, self._end, CHUNK_BYTES):
            stop = min(at + CHUNK_BYTES, self._end)
            yield self._data[at:stop] if isinstance(self._data, memoryview) else _read(self._data, at, stop)


class RequestStream:
    """What the library takes for a file: each `read` returns the body of the next request, at most `most` bytes.

    The library would hold each request in memory. So a file would need either many small requests, each with a round
    trip, or much memory. A Body is read from the file while it is sent, so the size of a request does not matter. The
    first request has 8 MiB. Each of the following ones has as many bytes as can be sent in 8 s at the speed of the
    request before, at least 8 and at most 128 MiB, so that little is repeated on a slow connection.

    Raises LocalFileError if the file cannot be opened.

    >>> with RequestStream(bytes(9 << 20)) as stream:
    ...     len(stream.read(MOST_BYTES)) >> 20, stream.tell() >> 20, len(stream.read(1 << 20)) >> 20
    (8, 8, 1)
    """

    def __init__(self, data: bytes | memoryview | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file: BinaryIO | None = None
        self._data: memoryview | BinaryIO
        if isinstance(data, Path):
            with local_errors("read", data):
                self._file = self._data = data.open("rb", buffering=0)
        else:
            self._data = memoryview(data).cast("B")
        self._clock = clock
        self._at = self._last = 0
        self._begun = clock()

    def tell(self) -> int:
        """Bytes returned so far."""
        return self._at

    def read(self, most: int) -> Body:
        """Return the next body, of at most `most` bytes. The caller ensures that the data has them."""
        self._last = min(most, self._size())
        self._begun = self._clock()
        start, self._at = self._at, self._at + self._last
        return Body(self._data, start, self._at)

    def _size(self) -> int:
        if not self._last:
            return FIRST_BYTES
        speed = self._last / max(self._clock() - self._begun, 1e-3)
        units = int(speed * _REQUEST_SECONDS) // _UNIT_BYTES
        return min(max(units * _UNIT_BYTES, FIRST_BYTES), MOST_BYTES)

    def __enter__(self) -> RequestStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _read(file: BinaryIO, at: int, stop: int) -> bytes:
    path = Path(file.name)
    with local_errors("read", path):
        piece = os.pread(file.fileno(), stop - at, at)
    if len(piece) != stop - at:
        raise LocalFileError(f"Cannot read the file {path}: it has become shorter.")
    return piece
