"""A TCP proxy for tests. It forwards bytes until a test makes it inject faults, and does not interpret them.

It can refuse connections, reset open ones, and hold all bytes back. It can lose a request. It can lose the response,
so that the request was delivered and the client does not know. It can cut the response in the middle. The fault of
each chunk is drawn from `odds` with the proxy's own random numbers, or planned by the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

CHUNK = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST, and unsent bytes are lost
Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class Way(StrEnum):
    """The direction of bytes."""

    REQUEST = "request"
    ANSWER = "answer"


class Fault(StrEnum):
    """The fault of a chunk of bytes. The connection is reset after each fault."""

    NONE = "none"
    LOSE_REQUEST = "lose_request"
    """The request is not delivered."""
    LOSE_ANSWER = "lose_answer"
    """The request is delivered, the response is not."""
    CUT_ANSWER = "cut_answer"
    """Half of the response is delivered."""


_WAYS = {Fault.LOSE_REQUEST: Way.REQUEST, Fault.LOSE_ANSWER: Way.ANSWER, Fault.CUT_ANSWER: Way.ANSWER}
Tap = Callable[[int, Way, bytes], None]


class _Broken(Exception):
    """A fault ends this connection."""


@dataclass(eq=False)
class _Line:
    """One connection through the proxy."""

    number: int
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        """Close both sides immediately, with RST."""
        for writer in (self.client, self.server):
            line: socket.socket | None = writer.get_extra_info("socket")
            if line is not None and line.fileno() >= 0:
                with contextlib.suppress(OSError):
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Forwards from its own port to one of `upstreams`: each connection goes to the first one that accepts it.

    `odds`: the probability of each fault for each chunk. `tap` sees every chunk before a fault is applied. All methods
    may
    be called from any thread.
    """

    upstreams: Sequence[Address]
    seed: int = 0
    tap: Tap = lambda _line, _way, _chunk: None
    happened: Counter[Fault] = field(default_factory=Counter)
    port: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._odds: dict[Fault, float] = {}
        self._planned: dict[Way, deque[Fault]] = {way: deque() for way in Way}
        self._lines: set[_Line] = set()
        self._count = 0
        self._server: asyncio.Server | None = None
        self._door: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._flowing = self._on_loop(_flowing)
        self.accept()

    @property
    def address(self) -> str:
        """host:port, for a URL."""
        return f"127.0.0.1:{self.port}"

    # --- faults of the whole network ---

    def accept(self) -> None:
        """Accept connections."""
        self._on_loop(self._listen)

    def refuse(self) -> None:
        """Refuse new connections. Open ones stay."""
        self._on_loop(self._stop_listening)

    def reset_all(self) -> None:
        """Close every open connection with RST."""
        self._on_loop(self._reset_lines)

    def stall(self) -> None:
        """Hold back all bytes, in both directions, until `flow`."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """Let bytes pass again."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def inject(self, odds: Mapping[Fault, float]) -> None:
        """From now on, draw faults with these odds for each chunk. An empty mapping means no faults."""
        self._odds = dict(odds)

    def plan(self, *faults: Fault) -> None:
        """Apply these faults, in order, to the next chunks of each fault's direction. NONE lets a response pass."""
        for fault in faults:
            self._planned[_WAYS.get(fault, Way.ANSWER)].append(fault)

    def repair(self) -> None:
        """Stop all faults."""
        self.inject({})
        for planned in self._planned.values():
            planned.clear()
        self.flow()
        self.accept()

    def close(self) -> None:
        """Stop the proxy and close all connections."""
        self.refuse()
        self.reset_all()
        self._on_loop(_cancel_tasks)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._door is not None:
            self._door.close()

    # --- methods that run in the event loop ---

    def _on_loop(self, call: Callable[[], Any]) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(call(), self._loop)
        return done.result(60)

    async def _listen(self) -> None:
        if self._server is None:
            door = self._door or _door(0)
            self.port, self._door = int(door.getsockname()[1]), None
            self._server = await asyncio.start_server(self._carry, sock=door, backlog=256)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server, self._door = None, _door(self.port)

    async def _reset_lines(self) -> None:
        for line in list(self._lines):
            line.reset()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await self._connect()
        if there is None:
            writer.transport.abort()
            return
        self._count += 1
        line = _Line(self._count, writer, there[1])
        self._lines.add(line)
        try:
            await asyncio.gather(
                self._pump(line, Way.REQUEST, reader, there[1]), self._pump(line, Way.ANSWER, there[0], writer)
            )
        except (_Broken, OSError, asyncio.CancelledError):
            line.reset()
        finally:
            self._lines.discard(line)
            for end in (writer, there[1]):
                end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        await self._flowing.wait()
        for address in self._random.sample(list(self.upstreams), len(self.upstreams)):
            with contextlib.suppress(OSError):
                if isinstance(address, str):
                    return await asyncio.open_unix_connection(address)
                return await asyncio.open_connection(*address)
        return None

    async def _pump(self, line: _Line, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            self.tap(line.number, way, chunk)
            await self._flowing.wait()
            fault = self._next_fault(way)
            if fault is Fault.CUT_ANSWER:
                writer.write(chunk[: len(chunk) // 2])
                await writer.drain()
            if fault is not Fault.NONE:
                self.happened[fault] += 1
                raise _Broken
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def _next_fault(self, way: Way) -> Fault:
        if self._planned[way]:
            return self._planned[way].popleft()
        for fault, probability in self._odds.items():
            if _WAYS.get(fault) is way and self._random.random() < probability:
                return fault
        return Fault.NONE


def _door(port: int) -> socket.socket:
    """A bound socket. Until it listens, connections are refused, and no other process can take the port."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", port))
    return door


async def _flowing() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def _cancel_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextlib.contextmanager
def running_proxy(*upstreams: Address, seed: int = 0, tap: Tap | None = None) -> Iterator[Proxy]:
    """A proxy that is closed at the end of the block."""
    proxy = Proxy(upstreams, seed) if tap is None else Proxy(upstreams, seed, tap)
    try:
        yield proxy
    finally:
        proxy.close()
