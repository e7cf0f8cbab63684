"""How much of a body is read, for how long, and how much one caller may have under way at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, BodyTooSlow, TooManyAtOnce

MAX_BODY = 1 << 20
SHARE = "baton.share"


class BodyLimit:
    """ASGI middleware: whoever reads a body gets no more than `limit` bytes of it, and waits `seconds` at most.

    It reads nothing itself: whoever must not ask is refused before the body has come.
    """

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY, *, seconds: float) -> None:
        self._app, self._limit, self._seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            receive = _Body(scope, receive, self._limit, self._seconds)
        await self._app(scope, receive, send)


class _Body:
    """What a request has to say. Raises BodyTooLarge, BodyTooSlow."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._size, self._declared = 0, _declared(scope)
        self._whole = False
        self._until: float | None = None

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # that the caller hangs up may take for ever
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


class ShareLimit:
    """ASGI middleware: of all that is under way at once, streams and long polls too, no caller may have over `most`.

    So whoever holds a token cannot keep all connections for themselves. A caller is known once the route knows it.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        share = Share(self._under_way, self._most)
        scope[SHARE] = share
        try:
            await self._app(scope, receive, send)
        finally:
            share.give_back()


class Share:
    """That of one request. Of the event loop's thread."""

    def __init__(self, under_way: Counter[str], most: int) -> None:
        self._under_way, self._most = under_way, most
        self._caller: str | None = None

    def take(self, caller: str) -> None:
        """Count the request as this caller's, until it is answered. Raises TooManyAtOnce."""
        if self._under_way[caller] >= self._most:
            raise TooManyAtOnce(self._most)
        self._under_way[caller] += 1
        self._caller = caller

    def give_back(self) -> None:
        """The request is over."""
        if self._caller is None:
            return
        self._under_way[self._caller] -= 1
        if not self._under_way[self._caller]:
            del self._under_way[self._caller]
