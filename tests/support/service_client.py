"""A client of a service in the same process. Its requests are cheap."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

_PORTS = {"http": 80, "https": 443}


class ServiceClient(TestClient):
    """Starlette's client, except that a request changes threads once instead of seven times.

    The changes of threads cost more than most requests. Event streams still use Starlette's transport, because they
    are read while the service writes them. All other responses are read whole.
    """

    def __init__(self, app: FastAPI, **options: Any) -> None:
        super().__init__(app, raise_server_exceptions=False, **options)
        self._transport = _OneCall(self, self._transport, options.get("client", ("testclient", 50000)))


def another_client(client: httpx.Client, **options: Any) -> ServiceClient:
    """Another client of the same running service. By default it has no credentials."""
    assert isinstance(client, ServiceClient)
    other = ServiceClient(client.app, **options)  # type: ignore[arg-type]
    other.portal = client.portal
    return other


class _OneCall(httpx.BaseTransport):
    def __init__(self, client: TestClient, streams: httpx.BaseTransport, address: tuple[str, int]) -> None:
        self._client, self._streams = client, streams
        self._responder = httpx.ASGITransport(self._with_state, raise_app_exceptions=False, client=address)

    async def _with_state(self, scope: Any, receive: Any, send: Any) -> None:
        host, port = scope["server"]
        server = host, port or _PORTS[scope["scheme"]]
        await self._client.app({**scope, "server": server, "state": self._client.app_state.copy()}, receive, send)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._client.portal is None or "text/event-stream" in request.headers.get("accept", ""):
            return self._streams.handle_request(request)
        request.read()
        return self._client.portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._responder.handle_async_request(request)
        body = b"".join([part async for part in response.stream])  # type: ignore[union-attr]  # asynchronous here
        return httpx.Response(response.status_code, headers=response.headers.raw, stream=httpx.ByteStream(body))

    def close(self) -> None:
        self._streams.close()
