"""Bytes of the store for answers over HTTP, read chunk by chunk in the store's lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator

from core.storage import BlobStore
from service.lanes import STORE


async def opened(store: BlobStore, name: str, start: int, end: int, *, begun: bool = False) -> AsyncIterator[bytes]:
    """The bytes [start, end) of an object, opened already: an answer can still say that there is none.

    `begun`: it continues an answer whose head is sent, and waits for a thread as long as it must. Raises what
    BlobStore.open raises, and LaneFull unless `begun`; while iterating what the store's iterator raises.
    """
    run = STORE.go_on if begun else STORE.run
    return _chunks(await run(store.open, name, start, end))


async def _chunks(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    try:
        while (chunk := await STORE.go_on(_next, chunks)) is not None:
            yield chunk
    finally:
        if isinstance(chunks, Generator):
            chunks.close()  # a reader that hung up must not keep the file open


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)
