"""The caller's local files: sources of uploads, and targets of downloads, which are written atomically."""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from baton.storage.checksum import Crc32c, chunks_of, measured
from baton.storage.errors import LocalFileError, StoreFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

Writer = Callable[[Iterable[bytes]], Crc32c]


def read_chunks(data: bytes | memoryview | Path) -> Iterator[bytes]:
    """Yield the content in chunks of at most 1 MiB. Raises LocalFileError."""
    with local_errors("read", data):
        yield from chunks_of(data)


def read_measure(data: bytes | memoryview | Path) -> Crc32c:
    """Return checksum and size of the content. Raises LocalFileError."""
    with local_errors("read", data):
        return measured(data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Writer]:
    """Yield a function that writes chunks to a temporary file. It becomes `path` if the block ends without an error.

    The function raises LocalFileError or StoreFull for the disk of `path`. Errors of the chunks are not changed.
    """
    temp = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.part")
    try:
        with local_errors("write", path):
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(fd, "wb", buffering=0):
            yield lambda chunks: _write_local(fd, chunks, path)
            with local_errors("write", path):
                os.fsync(fd)
        with local_errors("write", path):
            temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)


def write_all(fd: int, chunk: bytes) -> None:
    """Write every byte of the chunk to the descriptor. Raises OSError."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]


def _write_local(fd: int, chunks: Iterable[bytes], path: Path) -> Crc32c:
    total = Crc32c()
    for chunk in chunks:
        total.update(chunk)
        with local_errors("write", path):
            write_all(fd, chunk)
    return total


@contextlib.contextmanager
def local_errors(verb: str, data: bytes | memoryview | Path) -> Iterator[None]:
    """Turn an OSError of the caller's file into LocalFileError or StoreFull."""
    try:
        yield
    except OSError as error:
        where = data if isinstance(data, Path) else "(bytes)"
        if error.errno in FULL:
            raise StoreFull(f"The disk of {where} is full; make room and try again.") from error
        raise LocalFileError(f"Cannot {verb} the file {where}: {error.strerror}.") from error
