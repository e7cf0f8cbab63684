"""An asynchronous client that tests use like the synchronous one, so that both pass the same tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

from baton.client.aio.client import AsyncClient
from baton.client.aio.job import AsyncJob, AsyncJobs


class Driven:
    """An object of the asynchronous SDK. Each call of it runs in an event loop until it has its result."""

    def __init__(self, found: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._found, self._loop = found, loop

    @classmethod
    def client(cls, *given: Any, **more: Any) -> Self:
        """A client. The arguments are those of AsyncClient."""
        return cls(AsyncClient(*given, **more), asyncio.new_event_loop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._found.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        return self._shown(getattr(self._found, name))

    def _shown(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            return self._shown(self._loop.run_until_complete(value))
        if inspect.isasyncgen(value):
            return self._iterated(value)
        if isinstance(value, AsyncJob | AsyncJobs):
            return Driven(value, self._loop)
        return self._called(value) if inspect.ismethod(value) else value

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **more: self._shown(method(*given, **more))

    def _iterated(self, values: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._shown(self._loop.run_until_complete(anext(values)))
            except StopAsyncIteration:
                return
