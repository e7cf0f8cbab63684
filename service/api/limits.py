"""No body beyond a size reaches a route, however it is sent."""

from __future__ import annotations

from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem

MAX_BODY = 1 << 20


class _TooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: reads bodies up to a limit before the app sees them, and refuses larger ones with 413."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except _TooLarge:
            answer = problem(
                413, "body-too-large", f"a body may have {self._limit} bytes", headers={"Connection": "close"}
            )
            await answer(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        if _declared(scope) > self._limit:
            raise _TooLarge
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += cast(bytes, message.get("body", b""))
            if len(body) > self._limit:
                raise _TooLarge
            if not message.get("more_body", False):
                return bytes(body)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _has_body(scope: Scope) -> bool:
    return _header(scope, b"transfer-encoding") is not None or _declared(scope) > 0


def _declared(scope: Scope) -> int:
    text = _header(scope, b"content-length") or b"0"
    return int(text) if text.isdigit() else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
