"""Decoded images on disk, once per machine, data set and size. A file is written completely or not at all.

A file is an array in NumPy's format, followed by the digest of each image's content, and by the broken files as JSON.
The digests show whether a checkpoint was trained on these images. The image files need not be read again for that.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baton.domain.data_identity import DIGEST_BYTES
from baton.system.caches import need_room, sync_directory, writing
from baton.system.file_locks import WORK_SECONDS, held
from worker.fetched.cache_cleanup import sweep
from worker.training.data.decode import limits
from worker.training.data.failures import LISTED, BrokenFiles
from worker.training.data.listing import Listing
from worker.training.data.parallel import decode_all

Progress = Callable[[int, int], None]
_FORMAT = 2
"""Part of the name of a file. Format 2 has other pixels of deep and transparent images, and a list of broken files."""


def cached_images(
    listing: Listing, *, name: str, size: int, cache: Path, progress: Progress, skip_broken: bool = False
) -> NDArray[np.uint8]:
    """All images of the listing, uint8 [n, size, size, 3], memory-mapped; decoded on the first call on this machine.

    `skip_broken`: broken files are not a failure; `broken_files` returns them, and their images are black.

    `progress(done, total)` counts images; it is called while this or another process decodes. An exception that it
    raises stops the work and leaves no cache file.

    Raises:
        JobFailure: bad_data if images are broken, with the names of the first ones; disk_full; cache_unusable.
    """
    content = json.dumps([_FORMAT, size, limits(), listing.labels.tolist(), listing.identity])
    key = hashlib.sha256(content.encode()).hexdigest()[:24]
    file = cache / f"{name}-{size}px-{key}.npy"
    shape = (len(listing.labels), size, size, 3)
    found = _open(file, shape)
    if found is not None:
        return _checked(found, skip_broken)
    needed, total = int(np.prod(shape)) + DIGEST_BYTES * len(listing.labels), len(listing.labels)
    with writing(cache, "caching decoded images", needed):
        cache.mkdir(parents=True, exist_ok=True)
        with held(
            file.with_suffix(".lock"),
            lambda: progress(min(_written(file) * total // needed, total), total),
            progress=lambda: _written(file),
            seconds=WORK_SECONDS,
        ):
            if _open(file, shape) is None:
                sweep(cache, file.stem)
                need_room(cache, "caching decoded images", needed)
                _build(file, listing, size, progress, skip_broken)
    built = _open(file, shape)
    assert built is not None
    return _checked(built, skip_broken)


def _checked(images: NDArray[np.uint8], skip_broken: bool) -> NDArray[np.uint8]:
    broken = broken_files(images)
    if broken.rows and not skip_broken:
        raise broken.failure()
    return images


def content_digests(images: NDArray[np.uint8]) -> bytes:
    """The content digests of the images that `cached_images` returned, DIGEST_BYTES each."""
    return _behind(images)[: DIGEST_BYTES * len(images)]


def broken_files(images: NDArray[np.uint8]) -> BrokenFiles:
    """The broken files among the images that `cached_images` returned."""
    rows, messages = json.loads(_behind(images)[DIGEST_BYTES * len(images) :])
    return BrokenFiles(tuple(rows), tuple(messages))


def _behind(images: NDArray[np.uint8]) -> bytes:
    """The part of the cache file after the array."""
    assert isinstance(images, np.memmap) and images.filename is not None
    with Path(images.filename).open("rb") as file:
        file.seek(images.offset + images.nbytes)
        return file.read()


def _open(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The cache file if it exists and is complete."""
    try:
        images: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
        if images.shape != shape or images.dtype != np.uint8:
            return None
        broken_files(images)
        return images
    except (OSError, ValueError, TypeError, EOFError):
        return None


def _written(file: Path) -> int:
    """Bytes that another process has written so far."""
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.stem}.*.part") if part.exists())


def _build(file: Path, listing: Listing, size: int, progress: Progress, skip_broken: bool) -> None:
    """Writes to a temporary file and renames it once it is complete and on disk. Called under the lock."""
    descriptor, name = tempfile.mkstemp(prefix=f"{file.stem}.", suffix=".part", dir=file.parent)
    part = Path(name)
    try:
        # Unbuffered: after a write failed on a full disk, close() must not try to write the same bytes again.
        with os.fdopen(descriptor, "wb", buffering=0) as out:
            # mkstemp makes the file private, but workers of other users share the cache.
            os.fchmod(out.fileno(), 0o644)
            broken = _write(out, listing, size, progress)
        if broken.rows and not skip_broken:
            raise broken.failure()
        listing.unchanged()
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(file.parent)


def _write(out: io.FileIO, listing: Listing, size: int, progress: Progress) -> BrokenFiles:
    total = len(listing.labels)
    header = {"descr": "|u1", "fortran_order": False, "shape": (total, size, size, 3)}
    np.lib.format.write_array_header_1_0(out, header)
    done, digests, broken = 0, list[bytes](), list[tuple[int, str]]()
    for chunk in decode_all(listing, size, waiting=lambda images: progress(images, total)):
        _write_all(out, chunk.images.data.cast("B"))
        digests += chunk.digests
        broken += chunk.broken
        done += len(chunk.images)
        progress(done, total)
    found = BrokenFiles(tuple(row for row, _ in broken), tuple(message for _, message in broken[:LISTED]))
    _write_all(out, memoryview(b"".join(digests)))
    _write_all(out, memoryview(json.dumps([found.rows, found.messages]).encode()))
    os.fsync(out.fileno())
    return found


def _write_all(out: io.FileIO, rest: memoryview) -> None:
    while rest:
        rest = rest[out.write(rest) :]
