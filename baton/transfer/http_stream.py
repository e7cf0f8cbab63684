"""One GET, read in a thread of its own: whoever waits for it hears a wish to stop in a fifth of a second."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

_POLL_SECONDS = 0.2
_AHEAD = 64


class Broken(Exception):
    """Did not come, or not to its end; another try may help. `after`: seconds that the server asks for."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        self.after = after
        super().__init__(why)


@dataclass(frozen=True)
class Head:
    """How an answer begins."""

    status: int
    reason: str
    headers: httpx.Headers


class Stream:
    """An answer as it comes. `tick` is called while nothing comes; what it raises ends the wait."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float, tick: Callable[[], None]) -> None:
        self._url, self._headers, self._timeout, self._tick = url, dict(headers), timeout, tick
        self._items: queue.Queue[Head | bytes | BaseException | None] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        # Daemon: a server that says nothing must not keep a process that wants to end.
        self._thread = threading.Thread(target=self._run, name="download", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()

    def head(self) -> Head:
        """Status and headers. Raises Broken."""
        found = self._next()
        assert isinstance(found, Head)
        return found

    def body(self) -> Iterator[bytes]:
        """What comes after the head, as it was sent. Raises Broken."""
        while isinstance(chunk := self._next(), bytes):
            yield chunk

    def _next(self) -> Head | bytes | None:
        while True:
            try:
                found = self._items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                self._tick()
                continue
            if isinstance(found, BaseException):
                raise Broken(str(found) or type(found).__name__) from found
            return found

    def _run(self) -> None:
        try:
            with (
                httpx.Client(follow_redirects=True, timeout=self._timeout) as client,
                client.stream("GET", self._url, headers=self._headers) as answer,
            ):
                self._put(Head(answer.status_code, answer.reason_phrase, answer.headers))
                # Chunks as they come: httpx would keep the rest of a larger one to itself when the answer breaks off.
                for chunk in answer.iter_raw():
                    self._put(chunk)
            self._put(None)
        except _Unwanted:
            pass
        except Exception as error:
            # Whatever it is: the other thread waits for an end.
            self._put_quietly(error)

    def _put(self, item: Head | bytes | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
        raise _Unwanted

    def _put_quietly(self, error: Exception) -> None:
        with contextlib.suppress(_Unwanted):
            self._put(error)


class _Unwanted(Exception):
    """Nobody reads on."""
