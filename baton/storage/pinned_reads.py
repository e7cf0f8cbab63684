"""Reads of an object in ranges. Each range comes from the version that the reader found at the beginning."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from baton.storage.checksum import Crc32c
from baton.storage.errors import Corrupted, ObjectChanged
from baton.storage.local_files import atomic_file
from baton.storage.port import BlobInfo

READ_BYTES = 8 * 2**20
_READ_TRIES = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Pinned:
    """One version of an object. `read(start, end)` returns its bytes [start, end) or raises ObjectChanged."""

    info: BlobInfo
    what: str
    """The object's name and store, for messages."""
    read: Callable[[int, int], bytes]

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes [start, end) in chunks of at most 8 MiB.

        Raises Corrupted after the last chunk of a whole object if the object has a checksum that differs.
        """
        size, total = self.info.size, Crc32c()
        stop = size if end is None else min(end, size)
        for at in range(start, stop, READ_BYTES):
            chunk = self.read(at, min(at + READ_BYTES, stop))
            total.update(chunk)
            yield chunk
        if total.size == size and self.info.crc32c not in (None, total.hex):
            raise Corrupted(f"The content of {self.what} does not match its checksum.")


def read_whole(
    find: Callable[[], Pinned], consume: Callable[[Iterator[bytes]], T], deadline: float
) -> tuple[BlobInfo, T]:
    """Read a whole object. If it is replaced during the read, start again: at least 5 times, and for `deadline` s."""
    ends = time.monotonic() + deadline
    for tries in itertools.count(1):
        pinned = find()
        try:
            return pinned.info, consume(pinned.chunks())
        except ObjectChanged:
            if tries >= _READ_TRIES and time.monotonic() >= ends:
                raise
    raise AssertionError("unreachable: a count has no end")


def write_file(path: Path) -> Callable[[Iterator[bytes]], Crc32c]:
    """Return a function for `read_whole` that writes the chunks to `path` atomically."""

    def write(chunks: Iterator[bytes]) -> Crc32c:
        with atomic_file(path) as write_chunks:
            return write_chunks(chunks)

    return write
