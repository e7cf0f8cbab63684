"""Limits the size and time of request bodies, and the concurrent requests of a caller."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, cast

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, BodyTooSlow, TooManyAtOnce

MAX_BODY = 1 << 20
SHARE, BODY = "baton.share", "baton.body"
_LARGE = "__baton_large_body__"
_E = TypeVar("_E", bound=Callable[..., Any])
LEAST_OF_A_WORKER = 8
"""Minimum number of concurrent requests of one worker. It polls, renews its lease, commits, reports and retries."""


class BodyLimit:
    """ASGI middleware: a body may have at most `limit` bytes, and must arrive within `seconds`.

    The limits apply when the route reads the body, which is after authentication.
    """

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY, *, seconds: float) -> None:
        self._app, self._limit, self._seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            receive = scope[BODY] = Body(scope, receive, self._limit, self._seconds)
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class LargeBody:
    """Marks an endpoint that reads its body itself, as bytes: up to `limit` bytes within `seconds`."""

    limit: int
    seconds: float

    def __call__(self, endpoint: _E) -> _E:
        """Mark the endpoint."""
        setattr(endpoint, _LARGE, self)
        return endpoint


async def read_bytes(request: Request) -> bytearray:
    """The body of a request to a marked endpoint. Raises BodyTooLarge, BodyTooSlow."""
    return bytearray().join([chunk async for chunk in request.stream()])


def large_body(endpoint: Callable[..., Any]) -> LargeBody | None:
    """The mark of an endpoint."""
    return getattr(endpoint, _LARGE, None)


class Body:
    """The body of one request. Raises BodyTooLarge, BodyTooSlow."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._size, self._declared = 0, _declared(scope)
        self._whole = False
        self._until: float | None = None

    def allow(self, large: LargeBody) -> None:
        """Set the limits of this request's route, before the body is read."""
        self._limit, self._seconds = large.limit, large.seconds

    async def __call__(self) -> Message:
        """The next part of the body."""
        if self._whole:
            return await self._receive()  # after the body: waits for the disconnect, without a time limit
        if self._declared > self._limit:
            raise BodyTooLarge(self._limit)
        message = await self._in_time()
        self._size += len(cast(bytes, message.get("body", b"")))
        if self._size > self._limit:
            raise BodyTooLarge(self._limit)
        self._whole = not message.get("more_body", False)
        return message

    async def _in_time(self) -> Message:
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._until):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(self._seconds) from None


def _declared(scope: Scope) -> int:
    text = next((value for key, value in scope["headers"] if key == b"content-length"), b"0")
    return int(text) if text.isdigit() else 0


class Group(StrEnum):
    """Kinds of callers that share the connections of a replica."""

    ADMIN = "admin"
    """Tokens with the scope admin."""
    ATTEMPT = "attempt"
    """Requests with the token of an attempt: heartbeats, commits."""
    WORK = "work"
    """Registrations and claims of workers."""
    POLL = "poll"
    """Workers that wait for work."""
    USER = "user"
    """All other requests: lists, logs, streams of events."""


SIXTEENTHS = {
    frozenset({Group.POLL}): 10,
    frozenset({Group.USER}): 10,
    frozenset({Group.POLL, Group.USER}): 12,
    frozenset({Group.POLL, Group.USER, Group.WORK}): 13,
    frozenset({Group.POLL, Group.USER, Group.WORK, Group.ATTEMPT}): 15,
}
"""How many sixteenths of the connections these groups may use together.

Polls alone and users alone cannot use all connections. Polls and users together leave room for claims. With claims,
they leave room for heartbeats. All these groups together leave room for the administrator.
"""


@dataclass(frozen=True)
class Sharer:
    """The caller whose share a request uses. `key`: the token; for workers, also the worker's name or address.

    `one_worker`: the key is one worker, which needs only a few concurrent connections.
    """

    group: Group
    key: str
    one_worker: bool = False


class ShareLimit:
    """ASGI middleware: limits concurrent requests by caller and by group. Streams and long polls count too.

    The caller is known after the route has authenticated it.
    """

    def __init__(self, app: ASGIApp, connections: int) -> None:
        self._app, self._connections = app, connections
        self._under_way: Counter[Sharer] = Counter()
        self._groups: Counter[Group] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        share = Share(self)
        scope[SHARE] = share
        try:
            await self._app(scope, receive, send)
        finally:
            share.give_back()

    def take(self, sharer: Sharer) -> None:
        """Count one more request of this caller. Raises TooManyAtOnce."""
        most = max(LEAST_OF_A_WORKER, self._connections // 32) if sharer.one_worker else max(1, self._connections // 2)
        if self._under_way[sharer] >= most:
            raise TooManyAtOnce(most)
        for groups, sixteenths in SIXTEENTHS.items():
            together = self._connections * sixteenths // 16
            if sharer.group in groups and sum(self._groups[one] for one in groups) >= together:
                raise TooManyAtOnce(together, "all callers of this kind together have")
        self._under_way[sharer] += 1
        self._groups[sharer.group] += 1

    def give_back(self, sharer: Sharer) -> None:
        """Record the end of a request of this caller."""
        self._groups[sharer.group] -= 1
        self._under_way[sharer] -= 1
        if not self._under_way[sharer]:
            del self._under_way[sharer]


class Share:
    """The share of one request. Used only in the event loop's thread."""

    def __init__(self, limit: ShareLimit) -> None:
        self._limit = limit
        self._sharer: Sharer | None = None

    def take(self, sharer: Sharer) -> None:
        """Count the request as this caller's, until it is answered. Raises TooManyAtOnce."""
        self._limit.take(sharer)
        self._sharer = sharer

    def give_back(self) -> None:
        """Record the end of the request."""
        if self._sharer is not None:
            self._limit.give_back(self._sharer)
            self._sharer = None
