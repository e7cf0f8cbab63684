"""HTTP requests to the service. Retries transient errors of idempotent requests, and raises errors as exceptions. Asynchronous.

Generated from baton/client/transport.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Concatenate

import httpx

from baton.client.errors import ApiError, ConfigurationError, Unreachable
from baton.client.transport import _P, _T, BUSY, RetryPolicy, _answers, _cause, _pause, _repeatable, foreign, problem_of
from baton.client.transport import Transport as Blocking
from baton.domain.downloads import http_url


class Transport:
    """An HTTP client for one service with one token."""

    def __init__(
        self,
        url: str,
        token: str,
        patience: RetryPolicy | None = None,
        timeout: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        project: str | None = None,
    ) -> None:
        """`project`: the project in which an administrator acts; None: all."""
        try:
            self.url = http_url(url).rstrip("/")
        except ValueError as error:
            raise ConfigurationError(f"the URL of the service {error}") from None
        self._given = (url, token, patience, timeout)
        self._patience = patience or RetryPolicy()
        self._sleep = sleep
        self.http = httpx.AsyncClient(
            base_url=self.url,
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": "baton-client",
                **({"Baton-Project": project} if project else {}),
            },
            timeout=httpx.Timeout(timeout, connect=5.0),
            follow_redirects=True,
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self.http.aclose()

    async def blocking(self, act: Callable[Concatenate[Blocking, _P], _T], *given: _P.args, **more: _P.kwargs) -> _T:
        """Calls a function of a synchronous transport in a thread, such as one that reads files."""

        def run() -> _T:
            with contextlib.closing(Blocking(*self._given)) as transport:
                return act(transport, *given, **more)

        return await asyncio.to_thread(run)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        patience: RetryPolicy | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """Sends a request and returns the answer. Retries it if it is idempotent, by method or by Idempotency-Key.

        `patience`: retries this request in this way; only for requests that are safe to repeat. `timeout`: seconds
        without an answer.

        Raises:
            Unreachable: the service did not answer, or answered that it cannot work now.
            ApiError: the service refused the request.
        """
        given = {k: v for k, v in (params or {}).items() if v is not None}
        limits = self.http.timeout if timeout is None else httpx.Timeout(timeout, connect=5.0)
        request = self.http.build_request(
            method, path, params=given, json=json, content=content, headers=headers, timeout=limits
        )
        once = patience is None and not _repeatable(request)
        return await self._send(request, RetryPolicy(tries=1) if once else patience or self._patience)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        wanted: Callable[[httpx.Response], bool],
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> AsyncIterator[httpx.Response]:
        """Opens the answer to one GET as a stream. `timeout`: seconds for each read.

        `wanted`: whether a successful answer has the form that the service sends.

        Raises:
            Unreachable: the service did not answer, or the answer was interrupted.
            ApiError: the service refused the request.
        """
        limits = httpx.Timeout(timeout, connect=5.0)
        try:
            async with self.http.stream("GET", path, params=params, headers=headers, timeout=limits) as response:
                if not (response.is_success and wanted(response)):
                    await response.aread()
                    raise self._error(response)
                yield response
        except httpx.RequestError as error:
            raise Unreachable(self.url, _cause(error)) from error

    async def _send(self, request: httpx.Request, patience: RetryPolicy) -> httpx.Response:
        for tried in range(1, patience.tries + 1):
            last = tried == patience.tries
            try:
                response = await self.http.send(request)
            except httpx.RequestError as error:
                if last:
                    raise Unreachable(self.url, _cause(error)) from error
                await self._sleep(patience.delay(tried, random.random()))  # jitter is no secret
                continue
            if _answers(response):
                return response
            refusal = self._error(response)
            if last or not (response.status_code in BUSY or isinstance(refusal, Unreachable)):
                raise refusal
            await self._sleep(_pause(response, patience.delay(tried, random.random())))  # jitter is no secret
        raise AssertionError("unreachable: the last try returns or raises")

    def _error(self, response: httpx.Response) -> ApiError | Unreachable:
        """The exception for an error answer. An answer that is not from the service gives Unreachable."""
        found = problem_of(response)
        if found is None:
            return foreign(self.url, response)
        if found.status in BUSY - {429}:
            request = f"; request {found.request_id}" if found.request_id else ""
            return Unreachable(self.url, f"it answered {found.status}: {found.detail}{request}", found.detail)
        return ApiError(found)
