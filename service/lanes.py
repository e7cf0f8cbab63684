"""Threads for routes, divided: what may hang has threads of its own, so that it delays nobody else."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import anyio
from anyio.to_thread import run_sync

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Lane:
    """So many threads at once for one kind of work. Calls beyond that wait for each other, and for nobody else."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """The result of the call, made in a thread of this lane."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._threads)
        return await run_sync(functools.partial(call, *args, **options), limiter=self._limiter)

    def route(self, endpoint: Callable[_P, _T]) -> Callable[_P, Awaitable[_T]]:
        """The endpoint as a coroutine that runs in this lane; its signature stays as FastAPI reads it."""

        @functools.wraps(endpoint)
        async def run(*args: _P.args, **options: _P.kwargs) -> _T:
            return await self.run(endpoint, *args, **options)

        return run


LEASES = Lane(32)
"""Claims, heartbeats and the other writes of workers: the work that no outage of anything else may delay."""

STORE = Lane(16)
"""Whatever waits for the store."""
