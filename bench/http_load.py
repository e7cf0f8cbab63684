"""Load over plain sockets: a client that is cheap compared with the measured server. Loopback only."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

CONNECTIONS = 16
TOKEN_HEADER = "Authorization: Bearer"


@dataclass(frozen=True)
class Target:
    """A server on loopback and the token that it requires."""

    port: int
    token: str

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """A complete request as bytes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"{TOKEN_HEADER} {self.token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Tally:
    """The results. `seconds`: of each answer, in no order. `elapsed`: total seconds."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.elapsed

    def quantile(self, q: float) -> float:
        """Seconds within which this share of the answers arrived."""
        return float(np.quantile(self.seconds, q))

    def expect(self, status: int) -> Tally:
        """Returns this tally. Raises RuntimeError if an answer had another status: fast errors must not count."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"expected {status} alone, got {dict(self.statuses)}")
        return self


class Line:
    """One keep-alive connection. It is opened again if the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send the request and return status and body of the answer."""
        for last in (False, True):
            reader, writer = await self._open()
            try:
                writer.write(request)
                return await _answer(reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()  # the server closed the idle connection: try again on a new one
                if last:
                    raise
        raise AssertionError("unreachable")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    _, found, rest = head.partition(b"content-length:")
    length = int(rest.split(b"\r\n", 1)[0]) if found else 0
    return status, await reader.readexactly(length) if length else b""


async def _timed(line: Line, request: bytes, tally: Tally) -> None:
    begun = time.perf_counter()
    status, _ = await line.ask(request)
    tally.seconds.append(time.perf_counter() - begun)
    tally.statuses[status] += 1


def closed_loop(port: int, make: Callable[[int], bytes], seconds: float, connections: int = CONNECTIONS) -> Tally:
    """Send requests over several connections. Each connection sends the next request as soon as it has the answer.

    `make(k)`: request number k.
    """
    tally, numbers = Tally(), count()

    async def ask(until: float) -> None:
        line = Line(port)
        while time.perf_counter() < until:
            await _timed(line, make(next(numbers)), tally)
        line.close()

    async def run() -> None:
        begun = time.perf_counter()
        await asyncio.gather(*(ask(begun + seconds) for _ in range(connections)))
        tally.elapsed = time.perf_counter() - begun

    asyncio.run(run())
    return tally


def one_by_one(port: int, requests: Sequence[bytes]) -> Tally:
    """Send each request once over one connection, as soon as the previous request is answered."""
    tally = Tally()

    async def run() -> None:
        line, begun = Line(port), time.perf_counter()
        for request in requests:
            await _timed(line, request, tally)
        tally.elapsed = time.perf_counter() - begun
        line.close()

    asyncio.run(run())
    return tally


def at_intervals(port: int, requests: Sequence[bytes], interval: float, rounds: int) -> Tally:
    """Send each request every `interval` seconds on a separate connection. The starts are spread over the interval."""
    tally = Tally()

    async def one(number: int, request: bytes, begun: float) -> None:
        line = Line(port)
        for turn in range(rounds):
            due = begun + interval * (turn + number / len(requests))
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await _timed(line, request, tally)
        line.close()

    async def run() -> None:
        begun = time.perf_counter()
        await asyncio.gather(*(one(number, request, begun) for number, request in enumerate(requests)))
        tally.elapsed = time.perf_counter() - begun

    asyncio.run(run())
    return tally
