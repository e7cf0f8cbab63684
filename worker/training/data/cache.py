"""Decoded images on disk, once per machine, data set and size. A file is written completely or not at all.

A file is an array in NumPy's format, followed by the digest of each image's content. The digests show whether the
images are those of a checkpoint, without reading the image files again.
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
from worker.training.data.cache_cleanup import sweep
from worker.training.data.listing import Listing
from worker.training.data.parallel import decode_all

Progress = Callable[[int, int], None]
_FORMAT = 1


def cached_images(listing: Listing, *, name: str, size: int, cache: Path, progress: Progress) -> NDArray[np.uint8]:
    """All images of the listing, uint8 [n, size, size, 3], memory-mapped; decoded on the first call on this machine.

    `progress(done, total)` counts images; it is called while this or another process decodes. An exception that it
    raises stops the work and leaves no cache file.

    Raises:
        JobFailure: bad_data, an image is broken; disk_full.
    """
    content = json.dumps([_FORMAT, size, listing.labels.tolist(), listing.identity])
    key = hashlib.sha256(content.encode()).hexdigest()[:24]
    file = cache / f"{name}-{size}px-{key}.npy"
    shape = (len(listing.labels), size, size, 3)
    found = _open(file, shape)
    if found is not None:
        return found
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
                _build(file, listing, size, progress)
    built = _open(file, shape)
    assert built is not None
    return built


def content_digests(images: NDArray[np.uint8]) -> bytes:
    """The content digests of the images that `cached_images` returned, DIGEST_BYTES each."""
    assert isinstance(images, np.memmap) and images.filename is not None
    with Path(images.filename).open("rb") as file:
        file.seek(images.offset + images.nbytes)
        return file.read(DIGEST_BYTES * len(images))


def _open(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The cache file if it exists and is complete. An older file without digests is created again."""
    try:
        images = np.load(file, mmap_mode="r", allow_pickle=False)
        whole = images.shape == shape and images.dtype == np.uint8
        return images if whole and len(content_digests(images)) == DIGEST_BYTES * shape[0] else None
    except (OSError, ValueError, EOFError):
        return None


def _written(file: Path) -> int:
    """Bytes that another process has written so far."""
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.stem}.*.part") if part.exists())


def _build(file: Path, listing: Listing, size: int, progress: Progress) -> None:
    """Writes to a temporary file and renames it once it is complete and on disk. Called under the lock."""
    descriptor, name = tempfile.mkstemp(prefix=f"{file.stem}.", suffix=".part", dir=file.parent)
    part = Path(name)
    try:
        # Unbuffered: what a full disk refused must not be written again by close().
        with os.fdopen(descriptor, "wb", buffering=0) as out:
            # mkstemp makes the file private, but workers of other users share the cache.
            os.fchmod(out.fileno(), 0o644)
            _write(out, listing, size, progress)
        listing.unchanged()
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(file.parent)


def _write(out: io.FileIO, listing: Listing, size: int, progress: Progress) -> None:
    total = len(listing.labels)
    header = {"descr": "|u1", "fortran_order": False, "shape": (total, size, size, 3)}
    np.lib.format.write_array_header_1_0(out, header)
    done, digests = 0, []
    for chunk, of_chunk in decode_all(listing, size, waiting=lambda images: progress(images, total)):
        _write_all(out, chunk.data.cast("B"))
        digests += of_chunk
        done += len(chunk)
        progress(done, total)
    _write_all(out, memoryview(b"".join(digests)))
    os.fsync(out.fileno())


def _write_all(out: io.FileIO, rest: memoryview) -> None:
    while rest:
        rest = rest[out.write(rest) :]
