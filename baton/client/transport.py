"""HTTP requests to the service. Retries transient errors of idempotent requests, and raises errors as exceptions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from baton.client.errors import ApiError, ConfigurationError, Unreachable
from baton.domain.backoff import backoff
from baton.domain.downloads import http_url
from baton.domain.http_problems import JSON, foreign_text, media_type, read_problem
from baton.domain.views import ProblemView

BUSY = frozenset({429, 502, 503, 504})
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
MAX_RETRY_AFTER = 30.0


@dataclass(frozen=True)
class RetryPolicy:
    """How many times a request is tried, and how long to wait between tries. Times in seconds.

    >>> policy = RetryPolicy(tries=4, first_delay=0.2, longest_delay=5.0)
    >>> [policy.delay(tried, draw=0.0) for tried in (1, 2, 3)]
    [0.1, 0.2, 0.4]
    """

    tries: int = 5
    first_delay: float = 0.2
    longest_delay: float = 5.0

    def delay(self, tried: int, draw: float) -> float:
        """Seconds before the next try: exponential backoff with jitter. `tried`: tries so far. `draw`: in [0, 1)."""
        return backoff(self.first_delay, tried, self.longest_delay, draw)


class Transport:
    """An HTTP client for one service with one token."""

    def __init__(
        self,
        url: str,
        token: str,
        patience: RetryPolicy | None = None,
        timeout: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        project: str | None = None,
    ) -> None:
        """`project`: the project in which an administrator acts; None: all."""
        try:
            self.url = http_url(url).rstrip("/")
        except ValueError as error:
            raise ConfigurationError(f"the URL of the service {error}") from None
        self._patience = patience or RetryPolicy()
        self._sleep = sleep
        self.http = httpx.Client(
            base_url=self.url,
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": "baton-client",
                **({"Baton-Project": project} if project else {}),
            },
            timeout=httpx.Timeout(timeout, connect=5.0),
            follow_redirects=True,
        )

    def close(self) -> None:
        """Closes the connections."""
        self.http.close()

    def request(
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
        return self._send(request, RetryPolicy(tries=1) if once else patience or self._patience)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        wanted: Callable[[httpx.Response], bool],
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Iterator[httpx.Response]:
        """Opens the answer to one GET as a stream. `timeout`: seconds for each read.

        `wanted`: whether a successful answer has the form that the service sends.

        Raises:
            Unreachable: the service did not answer, or the answer was interrupted.
            ApiError: the service refused the request.
        """
        limits = httpx.Timeout(timeout, connect=5.0)
        try:
            with self.http.stream("GET", path, params=params, headers=headers, timeout=limits) as response:
                if not (response.is_success and wanted(response)):
                    response.read()
                    raise self._error(response)
                yield response
        except httpx.RequestError as error:
            raise Unreachable(self.url, _cause(error)) from error

    def _send(self, request: httpx.Request, patience: RetryPolicy) -> httpx.Response:
        for tried in range(1, patience.tries + 1):
            last = tried == patience.tries
            try:
                response = self.http.send(request)
            except httpx.RequestError as error:
                if last:
                    raise Unreachable(self.url, _cause(error)) from error
                self._sleep(patience.delay(tried, random.random()))  # noqa: S311  # jitter is no secret
                continue
            if _answers(response):
                return response
            refusal = self._error(response)
            if last or not (response.status_code in BUSY or isinstance(refusal, Unreachable)):
                raise refusal
            self._sleep(_pause(response, patience.delay(tried, random.random())))  # noqa: S311  # jitter is no secret
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


def _pause(response: httpx.Response, delay: float) -> float:
    """Seconds before the next try: `delay`, or the answer's Retry-After if that is longer."""
    asked = response.headers.get("Retry-After", "")
    return max(delay, min(float(asked), MAX_RETRY_AFTER)) if asked.isdecimal() else delay


def _repeatable(request: httpx.Request) -> bool:
    return request.method in IDEMPOTENT or "Idempotency-Key" in request.headers


def _cause(error: httpx.RequestError) -> str:
    return str(error) or type(error).__name__


def _answers(response: httpx.Response) -> bool:
    """Whether it is a successful answer of the service: JSON, an empty body, or "not modified"."""
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return True
    return response.is_success and (media_type(response.headers.get("Content-Type")) == JSON or not response.content)


def problem_of(response: httpx.Response) -> ProblemView | None:
    """The service's problem document. None if the answer is a success or does not come from the service."""
    return None if response.is_success else read_problem(response.headers.get("Content-Type"), response.content)


def foreign(url: str, response: httpx.Response) -> Unreachable:
    """The exception for an answer that does not come from the service at `url`."""
    kind, location = response.headers.get("Content-Type"), response.headers.get("Location")
    where = f"{response.url} answered " if response.history else ""
    return Unreachable(url, where + foreign_text(response.status_code, kind, response.content, location))
