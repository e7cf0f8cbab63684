"""Streams objects of the store to HTTP answers, chunk by chunk in the store's lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator

from baton.storage import BlobStore
from service.lanes import STORE, Lane


async def opened(
    store: BlobStore, name: str, start: int, end: int | None, *, begun: bool = False, lane: Lane = STORE
) -> AsyncIterator[bytes]:
    """The bytes [start, end) of an object. Opens it first, so that an error answer is still possible.

    `begun`: the head of the answer is already sent, so the wait for a thread has no limit. Raises the errors of
    BlobStore.open, and LaneFull unless `begun`. The iteration raises the errors of the store's iterator.
    """
    run = lane.go_on if begun else lane.run
    return _chunks(await run(store.open, name, start, end), lane)


async def _chunks(chunks: Iterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
    try:
        while (chunk := await lane.go_on(_next, chunks)) is not None:
            yield chunk
    finally:
        if isinstance(chunks, Generator):
            chunks.close()  # do not keep the file open after the client has disconnected


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)
