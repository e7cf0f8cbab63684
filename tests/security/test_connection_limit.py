"""More connections than the service allows, all of them in use."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.__main__ import _no_connection_left
from service.http_server import protocol

MOST = 2
REQUEST = b"GET / HTTP/1.1\r\nHost: baton.example.org\r\n\r\n"


class Waiting:
    """An app whose responses wait for `released`."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.released.wait()
        await Response("done")(scope, receive, send)


async def exchange() -> None:
    app = Waiting()
    config = uvicorn.Config(
        app, http=protocol(MOST, 30, _no_connection_left(MOST)), ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def connect(stack: AsyncExitStack) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        stack.callback(writer.close)
        writer.write(REQUEST)
        return reader

    try:
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            served = [await connect(stack) for _ in range(MOST)]
            while app.asked < MOST:
                await asyncio.sleep(0.01)
            refused = await (await connect(stack)).read()
            assert refused.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1" in refused
            assert b"connection: close" in refused
            assert b'"code":"busy"' in refused
            app.released.set()
            for reader in served:
                assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")
            # both are idle now, and the older one is closed for a new connection
            newest = await connect(stack)
            assert (await newest.readuntil(b"done")).startswith(b"HTTP/1.1 200")
            assert await served[0].read() == b""
            assert app.asked == MOST + 1
    finally:
        server.should_exit = True
        await serving


def test_one_connection_too_many_is_told_when_to_come_again() -> None:
    asyncio.run(exchange())
