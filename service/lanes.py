"""Thread pools (lanes) for blocking calls, separated by what the calls wait for. A hanging call delays only its lane.

Calls without a lane run in the default thread pool. LEASES is for writes of workers, STORE for calls to the blob store.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import anyio
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from baton.domain.errors import BatonError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LANE = "__baton_lane__"
_UNLIMITED: RunVar[anyio.CapacityLimiter] = RunVar("baton.unlimited")


class LaneFull(BatonError):
    """All threads of a lane are busy and its waiting line is full. `seconds`: when to try again."""

    code = "busy"

    def __init__(self, name: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many requests wait for the {name}: try again in {seconds} s; /readyz shows its state")


class Lane:
    """Runs at most `threads` calls at once. Further calls wait in order of arrival.

    `waiting`: maximum number of waiting calls. `patience`: maximum wait in seconds. Beyond these a call gets LaneFull.
    None means no limit. Each event loop has a separate limiter for the lane.
    """

    RETRY_SECONDS = 5

    def __init__(self, name: str, threads: int, *, waiting: int | None = None, patience: float | None = None) -> None:
        self.name, self._threads, self._waiting = name, threads, waiting
        self._patience = math.inf if patience is None else patience
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"baton.lane.{name}")

    async def run(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Run the call in a thread of this lane and return its result. Raises LaneFull.

        A caller that is cancelled while it waits leaves at once. During the call, the thread stays busy until it ends.
        """
        limiter = _limiter(self._limiter, self._threads)
        if self._waiting is not None and limiter.statistics().tasks_waiting >= self._waiting:
            raise LaneFull(self.name, self.RETRY_SECONDS)
        with anyio.move_on_after(self._patience) as waited:
            return await self._admitted(limiter, waited, functools.partial(call, *args, **options))
        raise LaneFull(self.name, self.RETRY_SECONDS)

    async def go_on(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Like `run`, but without limits on the wait: for a request that the lane has already admitted."""
        limiter = _limiter(self._limiter, self._threads)
        return await self._admitted(limiter, None, functools.partial(call, *args, **options))

    async def _admitted(
        self, limiter: anyio.CapacityLimiter, waited: anyio.CancelScope | None, call: Callable[[], _T]
    ) -> _T:
        async with limiter:
            if waited is not None:
                waited.deadline = math.inf
            # This lane's limiter already counts the call. Without a separate one the default pool would count it too.
            return await run_sync(call, limiter=_limiter(_UNLIMITED, math.inf))

    def route(self, endpoint: Callable[_P, _T]) -> Callable[_P, Awaitable[_T]]:
        """The endpoint as a coroutine that runs in this lane. Keeps the signature that FastAPI reads."""

        @functools.wraps(endpoint)
        async def run(*args: _P.args, **options: _P.kwargs) -> _T:
            return await self.run(endpoint, *args, **options)

        return self.marked(run)

    def marked(self, endpoint: Callable[_P, _T]) -> Callable[_P, _T]:
        """Mark the endpoint: this lane also looks up the tokens of its requests (service.api.auth)."""
        setattr(endpoint, _LANE, self)
        return endpoint


def lane_of(endpoint: Callable[..., Any]) -> Lane | None:
    """The lane that an endpoint is marked with."""
    return getattr(endpoint, _LANE, None)


def _limiter(kept: RunVar[anyio.CapacityLimiter], threads: float) -> anyio.CapacityLimiter:
    """The limiter of the running event loop. Event loops in different threads must not share one."""
    try:
        return kept.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(threads)
        kept.set(limiter)
        return limiter


LEASES = Lane("leases", 32)
"""Claims, heartbeats and other writes of workers. No outage of other parts may delay them."""

STORE = Lane("store", 16, waiting=64, patience=30.0)
"""Calls that wait for the store."""

NUMBERS = Lane("numbers", 2, waiting=16, patience=30.0)
"""Scrapes by Prometheus. Each scrape waits for the one before it."""
