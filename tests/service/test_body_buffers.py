"""Buffers of large bodies are used again, and a body never contains bytes of an earlier one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from service.api.body_buffers import BodyBuffers, read_into


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_a_short_body_after_a_long_one_has_its_own_bytes_only() -> None:
    buffers = BodyBuffers(8)

    async def bodies() -> tuple[bytes, bytes, bool]:
        async with buffers.one() as first, buffers.one() as second:
            long = bytes(await read_into(first, chunks(b"abcd", b"", b"efgh")))
            apart = first.obj is not second.obj
        async with buffers.one() as again:
            return long, bytes(await read_into(again, chunks(b"xy"))), apart and again.obj in (first.obj, second.obj)

    assert anyio.run(bodies) == (b"abcdefgh", b"xy", True)
