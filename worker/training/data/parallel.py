"""Decodes images on all cores, in order, with little memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from baton.domain.data_identity import DIGEST_BYTES
from baton.system.cpus import cpus
from worker.fetched.prefetch import ahead
from worker.training.data.decode import resize
from worker.training.data.failures import BrokenFile
from worker.training.data.listing import Listing

CHUNK_BYTES = 4 << 20


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some images in the listing's order, uint8 [k, size, size, 3], and the digests of their contents.

    `broken`: the rows of the listing that have no image, with their failures; their pixels and digests are zero.
    """

    images: NDArray[np.uint8]
    digests: list[bytes]
    broken: list[tuple[int, str]]


class _Tally:
    """How many images all threads have decoded."""

    def __init__(self) -> None:
        self._lock, self.images = threading.Lock(), 0

    def count(self) -> None:
        """One more."""
        with self._lock:
            self.images += 1


def decode_all(
    listing: Listing, size: int, threads: int | None = None, waiting: Callable[[int], None] = lambda _images: None
) -> Iterator[Chunk]:
    """The images of the listing in its order.

    Decodes a few chunks ahead of the consumer. `waiting`: called repeatedly while the next chunk is not ready, with the
    number of images decoded so far; an exception that it raises ends the work. Threads that hang are not waited for.

    Uses threads and not processes: nothing is copied, a kill leaves no orphans, and Pillow and OpenCV release the GIL
    while they decode. For an image of 64 px (0.1 ms) decoding is the smaller part of the time, so threads help little
    (all of Tiny ImageNet takes about 12 s). For photos they use nearly all cores.

    Raises:
        JobFailure: bad_data, for other causes than a broken file.
    """
    step = max(1, CHUNK_BYTES // (size * size * 3))
    workers, tally = threads or cpus(), _Tally()
    starts = range(0, len(listing.labels), step)
    chunk = partial(_chunk, listing, step, size, tally)
    yield from ahead(chunk, starts, threads=workers, depth=2 * workers, waiting=lambda: waiting(tally.images))


def _chunk(listing: Listing, step: int, size: int, tally: _Tally, start: int) -> Chunk:
    images, digests, broken = [], [], []
    for i in range(start, min(start + step, len(listing.labels))):
        try:
            image, digest = listing.read_digested(i)
            images.append(resize(image, size))
        except BrokenFile as error:
            images.append(np.zeros((size, size, 3), np.uint8))
            digest = bytes(DIGEST_BYTES)
            broken.append((i, str(error)))
        digests.append(digest)
        tally.count()
    return Chunk(np.stack(images), digests, broken)
