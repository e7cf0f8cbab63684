"""Threads for blocking calls, divided by what the calls wait for: a call that hangs delays its own lane and no other.

The default thread pool serves everything that has no lane. LEASES serves the writes of workers, STORE serves calls to
the blob store.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import anyio
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from core.domain.errors import BatonError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LANE = "__baton_lane__"
_UNLIMITED: RunVar[anyio.CapacityLimiter] = RunVar("baton.unlimited")


class LaneFull(BatonError):
    """All threads of a lane are taken and enough calls wait for one. `seconds`: when to try again."""

    code = "busy"

    def __init__(self, name: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many requests wait for the {name}: try again in {seconds} s; /readyz says how it stands")


class Lane:
    """At most `threads` calls at once. Further calls wait in the order of arrival.

    `waiting`: at most so many calls wait; `patience`: none waits longer, in seconds. What is over gets LaneFull. None:
    no bound. Each event loop has a lane of its own under the same name.
    """

    RETRY_SECONDS = 5

    def __init__(self, name: str, threads: int, *, waiting: int | None = None, patience: float | None = None) -> None:
        self.name, self._threads, self._waiting = name, threads, waiting
        self._patience = math.inf if patience is None else patience
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"baton.lane.{name}")

    async def run(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """The result of the call, made in a thread of this lane. Raises LaneFull.

        A caller that is cancelled while it waits leaves at once; during the call, its thread is free when that ends.
        """
        limiter = _limiter(self._limiter, self._threads)
        if self._waiting is not None and limiter.statistics().tasks_waiting >= self._waiting:
            raise LaneFull(self.name, self.RETRY_SECONDS)
        with anyio.move_on_after(self._patience) as waited:
            return await self._admitted(limiter, waited, functools.partial(call, *args, **options))
        raise LaneFull(self.name, self.RETRY_SECONDS)

    async def go_on(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """As `run`, for a request that was let in before: it waits as long as it must."""
        limiter = _limiter(self._limiter, self._threads)
        return await self._admitted(limiter, None, functools.partial(call, *args, **options))

    async def _admitted(
        self, limiter: anyio.CapacityLimiter, waited: anyio.CancelScope | None, call: Callable[[], _T]
    ) -> _T:
        async with limiter:
            if waited is not None:
                waited.deadline = math.inf
            # The lane's own limiter counts already; without another here the default pool's would count too.
            return await run_sync(call, limiter=_limiter(_UNLIMITED, math.inf))

    def route(self, endpoint: Callable[_P, _T]) -> Callable[_P, Awaitable[_T]]:
        """The endpoint as a coroutine that runs in this lane; its signature stays as FastAPI reads it."""

        @functools.wraps(endpoint)
        async def run(*args: _P.args, **options: _P.kwargs) -> _T:
            return await self.run(endpoint, *args, **options)

        return self.marked(run)

    def marked(self, endpoint: Callable[_P, _T]) -> Callable[_P, _T]:
        """The endpoint, marked: the token of its requests is looked up in this lane too (service.auth)."""
        setattr(endpoint, _LANE, self)
        return endpoint


def lane_of(endpoint: Callable[..., Any]) -> Lane | None:
    """The lane that an endpoint is marked for."""
    return getattr(endpoint, _LANE, None)


def _limiter(kept: RunVar[anyio.CapacityLimiter], threads: float) -> anyio.CapacityLimiter:
    """That of the running event loop: one limiter must not be shared between loops in several threads."""
    try:
        return kept.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(threads)
        kept.set(limiter)
        return limiter


LEASES = Lane("leases", 32)
"""Claims, heartbeats and the other writes of workers: the work that no outage of anything else may delay."""

STORE = Lane("store", 16, waiting=64, patience=30.0)
"""Whatever waits for the store."""

NUMBERS = Lane("numbers", 2, waiting=16, patience=30.0)
"""Scrapes by Prometheus: each waits for the one before it."""
