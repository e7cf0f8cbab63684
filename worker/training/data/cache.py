"""Decoded images on disk, once for each machine, data set and size: written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from core.domain.errors import JobFailure
from worker.training.data.decode import resize
from worker.training.data.listing import Listing

Progress = Callable[[int, int], None]
_FORMAT = 1
_CHUNK_BYTES = 4 << 20
_LOCK_POLL_SECONDS = 0.2


def cached_images(listing: Listing, *, name: str, size: int, cache: Path, progress: Progress) -> NDArray[np.uint8]:
    """All images of the listing, uint8 [n, size, size, 3], memory-mapped; decoded on the first call on this machine.

    `progress(done, total)` is called with images while decoding and while another process decodes; what it raises
    stops the work and leaves no cache.

    Raises:
        JobFailure: bad_data, an image is broken; disk_full.
    """
    file = cache / f"{name}-{size}px-{_key(listing, size)}.npy"
    shape = (len(listing.labels), size, size, 3)
    found = _open(file, shape)
    if found is not None:
        return found
    with _disk_full_named(cache, int(np.prod(shape))):
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(file.with_suffix(".lock"), lambda: progress(0, len(listing.labels))):
            if _open(file, shape) is None:
                _build(file, listing, size, progress)
    built = _open(file, shape)
    assert built is not None
    return built


def _key(listing: Listing, size: int) -> str:
    content = json.dumps([_FORMAT, size, listing.labels.tolist(), listing.identity])
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _open(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The cache, if it is there and whole."""
    try:
        images = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


@contextmanager
def _locked(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """One builder at a time. The kernel frees the lock of a process that dies."""
    with file.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(_LOCK_POLL_SECONDS)
        yield


@contextmanager
def _disk_full_named(cache: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"disk full while caching decoded images in {cache}: {needed / 1e6:.0f} MB are needed"
        raise JobFailure("disk_full", message) from error


def _build(file: Path, listing: Listing, size: int, progress: Progress) -> None:
    """Into a file of another name, moved into place when it is whole and on disk. Called under the lock."""
    for left_by_a_kill in file.parent.glob(f"{file.stem}.*.part"):
        left_by_a_kill.unlink()
    descriptor, name = tempfile.mkstemp(prefix=f"{file.stem}.", suffix=".part", dir=file.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            # The temporary file is its maker's alone; workers of other users share the cache.
            os.fchmod(out.fileno(), 0o644)
            _write(out, listing, size, progress)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    _sync_directory(file.parent)


def _write(out: IO[bytes], listing: Listing, size: int, progress: Progress) -> None:
    total = len(listing.labels)
    header = {"descr": "|u1", "fortran_order": False, "shape": (total, size, size, 3)}
    np.lib.format.write_array_header_1_0(out, header)
    done = 0
    for chunk in _decoded(listing, size):
        out.write(chunk.tobytes())
        done += len(chunk)
        progress(done, total)
    out.flush()
    os.fsync(out.fileno())


def _decoded(listing: Listing, size: int) -> Iterator[NDArray[np.uint8]]:
    """Chunks of images in order, decoded by as many threads as there are cores, a few chunks ahead."""
    step = max(1, _CHUNK_BYTES // (size * size * 3))
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    starts = range(0, len(listing.labels), step)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        ahead: deque[Future[NDArray[np.uint8]]] = deque()
        for start in starts:
            ahead.append(pool.submit(_chunk, listing, start, step, size))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk(listing: Listing, start: int, step: int, size: int) -> NDArray[np.uint8]:
    rows = range(start, min(start + step, len(listing.labels)))
    return np.stack([resize(listing.read(i), size) for i in rows])


def _sync_directory(folder: Path) -> None:
    # Some file systems cannot sync a directory; the cache is then at worst built again.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
