"""Reads one GET in a separate thread, so that the caller can stop within 0.2 s while the server is silent."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from baton.domain.errors import JobFailure

_POLL_SECONDS = 0.2
_AHEAD = 64


class Broken(Exception):
    """The answer did not arrive, or not all of it. Another try may succeed. `after`: the server's Retry-After in
    seconds.
    """

    def __init__(self, why: str, after: float = 0.0) -> None:
        self.after = after
        super().__init__(why)


@dataclass(frozen=True)
class Head:
    """Status and headers of an answer."""

    status: int
    reason: str
    headers: httpx.Headers


class Stream:
    """The answer to a GET, chunk by chunk. `tick` is called every 0.2 s without data; if it raises, the wait ends.

    `check`: called with the URL of each request before it is sent, also after a redirect. If it raises a
    JobFailure, `head` raises it.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout: float,
        tick: Callable[[], None],
        check: Callable[[str], None] = lambda _url: None,
    ) -> None:
        self._url, self._headers, self._timeout, self._tick, self._check = url, dict(headers), timeout, tick, check
        self._items: queue.Queue[Head | bytes | BaseException | None] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        # Daemon: a silent server must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="download", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()

    def head(self) -> Head:
        """Status and headers. Raises Broken, and what `check` raised."""
        found = self._next()
        assert isinstance(found, Head)
        return found

    def body(self) -> Iterator[bytes]:
        """The body, not decoded. Raises Broken."""
        while isinstance(chunk := self._next(), bytes):
            yield chunk

    def _next(self) -> Head | bytes | None:
        while True:
            try:
                found = self._items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                self._tick()
                continue
            if isinstance(found, JobFailure):
                raise found
            if isinstance(found, BaseException):
                raise Broken(str(found) or type(found).__name__) from found
            return found

    def _run(self) -> None:
        try:
            with (
                httpx.Client(
                    follow_redirects=True,
                    timeout=self._timeout,
                    event_hooks={"request": [lambda request: self._check(str(request.url))]},
                ) as client,
                client.stream("GET", self._url, headers=self._headers) as answer,
            ):
                self._put(Head(answer.status_code, answer.reason_phrase, answer.headers))
                # Chunks as received: with a chunk size httpx loses the incomplete last chunk of an interrupted answer.
                for chunk in answer.iter_raw():
                    self._put(chunk)
            self._put(None)
        except _Unwanted:
            pass
        except Exception as error:
            # Any exception must reach the other thread, which waits for the end of the answer.
            with contextlib.suppress(_Unwanted):
                self._put(error)

    def _put(self, item: Head | bytes | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
        raise _Unwanted


class _Unwanted(Exception):
    """The stream was closed, so the rest of the answer is not read."""
