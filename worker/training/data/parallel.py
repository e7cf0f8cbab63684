"""Images decoded on all cores, in order, with little memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from worker.training.data.decode import resize
from worker.training.data.listing import Listing

CHUNK_BYTES = 4 << 20
Chunk = tuple[NDArray[np.uint8], list[bytes]]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(listing: Listing, size: int, threads: int | None = None) -> Iterator[Chunk]:
    """Chunks of images, uint8 [k, size, size, 3], and digests of their contents, in the listing's order.

    A few chunks are decoded ahead of who takes them.

    Threads and not processes: nothing is copied, nothing can be orphaned by a kill, and Pillow and OpenCV let go of the
    interpreter while they decode. Of the 0.1 ms that an image of 64 px takes that is the smaller part, so that threads
    gain little there (all of Tiny ImageNet takes some 12 s); for photos they gain nearly all cores.

    Raises:
        JobFailure: bad_data, naming the first image that is broken.
    """
    step = max(1, CHUNK_BYTES // (size * size * 3))
    workers = threads or cores()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        ahead: deque[Future[Chunk]] = deque()
        for start in range(0, len(listing.labels), step):
            ahead.append(pool.submit(_chunk, listing, start, step, size))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk(listing: Listing, start: int, step: int, size: int) -> Chunk:
    images, digests = [], []
    for i in range(start, min(start + step, len(listing.labels))):
        image, digest = listing.read_digested(i)
        images.append(resize(image, size))
        digests.append(digest)
    return np.stack(images), digests
