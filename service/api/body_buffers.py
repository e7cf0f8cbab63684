"""Reads large bodies into buffers that are used again for later bodies.

A bytearray that grows with each chunk costs much time: Python moves it, and the kernel clears its new pages. With 8 MiB
bodies at full speed this took a third of the event loop's time, and heartbeats had to wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class BodyBuffers:
    """Buffers of `size` bytes, one for each body in memory. The caller limits the number of these bodies."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[bytearray] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[memoryview]:
        """Provides a buffer for the duration of the block. It may still contain an earlier body."""
        buffer = self._free.pop() if self._free else bytearray(self._size)
        try:
            yield memoryview(buffer)
        finally:
            self._free.append(buffer)


async def read_into(buffer: memoryview, chunks: AsyncIterator[bytes]) -> memoryview:
    """The part of the buffer that contains the body. The body must fit, which a limit of the route ensures."""
    size = 0
    async for chunk in chunks:
        buffer[size : size + len(chunk)] = chunk
        size += len(chunk)
    return buffer[:size]
