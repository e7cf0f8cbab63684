"""Closes idle, slow and excess connections.

uvicorn limits only the time between two requests and the size of a request's head. Its limit of connections answers
without `Retry-After`, and counts connections that are already closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_WITH_READERS = 4
FILES_BESIDE = 200
"""File descriptors that are kept for other uses: databases, Redis, files of the store."""


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn with time limits and a limit of connections.

    `most`: maximum number of connections. For a further connection an idle one is closed. If none is idle, `refusal`
    answers the requests of the further connection.
    `slow_seconds`: time limit for the head of a request, from the start of the connection or the first byte of a later
    request. A client that does not read its response is disconnected after four times as long.
    """

    slow_seconds: float
    most: int
    refusal: ASGIApp

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._since = 0.0

    @property
    def idle(self) -> bool:
        """Whether the connection has no request in progress."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the timer for the head, and apply the limit of connections."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._await_head()
        if len(self.connections) > self.most and not self._make_room():
            self.app = self.refusal

    def data_received(self, data: bytes) -> None:
        """Stop the timer when the head is complete. Start it with the first byte of a later request."""
        super().data_received(data)
        if not self.idle:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._await_head()

    def pause_writing(self) -> None:
        """The client reads too slowly: start the timer that ends the connection."""
        super().pause_writing()
        self._stop_stall_timer()
        self._stall_timer = self.loop.call_later(PATIENCE_WITH_READERS * self.slow_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read some data: stop the timer."""
        self._stop_stall_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Stop the timer: from here on uvicorn limits the wait for the next request."""
        self._stop_head_timer()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.slow_seconds, self._close_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _close_slow(self) -> None:
        self._head_timer = None
        if self.idle and not self.transport.is_closing():
            self.transport.close()

    def _make_room(self) -> bool:
        """Close an idle connection if there are too many: first one that never sent a request, then the oldest.

        False if none is idle.
        """
        # A closed connection stays in the set until the next iteration of the event loop.
        open_ones = [one for one in self.connections if not one.transport.is_closing()]
        if len(open_ones) <= self.most:
            return True
        others = [one for one in open_ones if one is not self and isinstance(one, LimitedProtocol) and one.idle]
        if not others:
            return False
        min(others, key=lambda one: (one.cycle is not None, one._since)).transport.abort()
        return True


def protocol(most: int, slow_seconds: float, refusal: ASGIApp) -> type[LimitedProtocol]:
    """The protocol of a server with at most `most` concurrent connections."""
    limits = {"most": most, "slow_seconds": slow_seconds, "refusal": staticmethod(refusal)}
    return type("Protocol", (LimitedProtocol,), limits)


def possible_connections(wanted: int) -> int:
    """`wanted`, or fewer if the limit of open files does not allow it, but at least 16. Raises the soft limit first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(OSError, ValueError):
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else max(16, min(wanted, soft - FILES_BESIDE))
