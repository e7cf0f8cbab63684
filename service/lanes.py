"""Thread pools (lanes) for blocking calls, separated by what the calls wait for. A hanging call delays only its lane.

Calls without a lane run in the default thread pool. LEASES is for writes of workers, STORE for calls to the blob store.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from random import uniform
from typing import Any, ParamSpec, TypeVar

import anyio
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from baton.domain.errors import BatonError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LANE = "__baton_lane__"
_UNLIMITED: RunVar[anyio.CapacityLimiter] = RunVar("baton.unlimited")

SPREAD = (0.75, 1.25)
"""Factors between which the longest wait for a place is drawn."""


class LaneFull(BatonError):
    """All threads of a lane are busy, and its queue is full. `seconds`: when to try again."""

    code = "busy"

    def __init__(self, name: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many requests wait for the {name}: try again in {seconds} s; /readyz shows its state")


class Lane:
    """Runs at most `threads` calls concurrently. Further calls wait in order of arrival.

    `waiting`: maximum number of waiting calls. `patience`: maximum wait in seconds. Beyond these a call gets LaneFull.
    None means no limit. Each event loop has a separate limiter for the lane.
    """

    RETRY_SECONDS = 5

    def __init__(self, name: str, threads: int, *, waiting: int | None = None, patience: float | None = None) -> None:
        self.name, self.threads, self._waiting = name, threads, waiting
        self._patience = math.inf if patience is None else patience
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"baton.lane.{name}")

    async def run(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Run the call in a thread of this lane and return its result. Raises LaneFull.

        A caller that is cancelled while it waits leaves the queue at once. A call in progress keeps its thread busy
        until the call ends.
        """
        limiter = _limiter(self._limiter, self.threads)
        if self._waiting is not None and limiter.statistics().tasks_waiting >= self._waiting:
            raise LaneFull(self.name, self.RETRY_SECONDS)
        with anyio.move_on_after(self._patience) as waited:
            return await self._admitted(limiter, waited, functools.partial(call, *args, **options))
        raise LaneFull(self.name, self.RETRY_SECONDS)

    async def go_on(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Like `run`, but without limits on the wait: for a request that the lane has already admitted."""
        limiter = _limiter(self._limiter, self.threads)
        return await self._admitted(limiter, None, functools.partial(call, *args, **options))

    async def _admitted(
        self, limiter: anyio.CapacityLimiter, waited: anyio.CancelScope | None, call: Callable[[], _T]
    ) -> _T:
        async with limiter:
            if waited is not None:
                waited.deadline = math.inf
            # This lane's limiter already counts the call. A separate limiter avoids a second count by the default pool.
            return await run_sync(call, limiter=_limiter(_UNLIMITED, math.inf))

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place of this lane, without a thread, during the block. Raises LaneFull.

        The longest wait is drawn from SPREAD times `patience`.
        """
        limiter, holder, admitted = _limiter(self._limiter, self.threads), object(), False
        if self._waiting is not None and limiter.statistics().tasks_waiting >= self._waiting:
            raise LaneFull(self.name, self.RETRY_SECONDS)
        # Drawn, so that callers who came together do not give up together: that would be a burst of new requests.
        with anyio.move_on_after(self._patience * uniform(*SPREAD)):  # noqa: S311 - no secret
            await limiter.acquire_on_behalf_of(holder)
            admitted = True
        if not admitted:
            raise LaneFull(self.name, self.RETRY_SECONDS)
        try:
            yield
        finally:
            limiter.release_on_behalf_of(holder)

    def route(self, endpoint: Callable[_P, _T]) -> Callable[_P, Awaitable[_T]]:
        """The endpoint as a coroutine that runs in this lane. Keeps the signature that FastAPI reads."""

        @functools.wraps(endpoint)
        async def run(*args: _P.args, **options: _P.kwargs) -> _T:
            return await self.run(endpoint, *args, **options)

        return self.marked(run)

    def marked(self, endpoint: Callable[_P, _T]) -> Callable[_P, _T]:
        """Mark the endpoint, so that the tokens of its requests are also looked up in this lane (service.api.auth)."""
        setattr(endpoint, _LANE, self)
        return endpoint


class LowPriority:
    """Threads for calls that need much processor time. All other threads of the service run before them.

    Only Linux has a priority for each thread. Elsewhere these threads have the priority of the process.
    """

    NICE = 10

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=self._lower)

    async def run(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Run the call in one of the threads and return its result. Calls wait in order of arrival.

        A caller that is cancelled waits for the end of the call: the call may use the caller's buffer.
        """
        run = functools.partial(contextvars.copy_context().run, call, *args, **options)
        with anyio.CancelScope(shield=True):
            result = await asyncio.get_running_loop().run_in_executor(self._pool, run)
        return result  # noqa: RET504 - for mypy the block may end without a result

    def _lower(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.NICE)


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

DATA = Lane("store of pushed data", 16, waiting=256, patience=30.0)
"""Calls of pushes that wait for the store. A push makes thousands of them: they must not delay downloads and logs."""

CODE = Lane("places for code bundles", 4, waiting=16, patience=30.0)
"""Uploads of code, each of which needs up to 100 MiB of the service's disk for temporary files."""

OBJECTS = Lane("places for objects of workers", 8, waiting=1_024, patience=30.0)
"""Uploads of attempts, each of which needs up to 8 MiB of memory. The bodies of waiting uploads are not read yet.

The number is large enough that a few slow senders do not stop the others, and small enough to bound the memory: see
bench.uploads."""

OBJECT_CALLS = Lane("store of workers", 16, waiting=1_024, patience=30.0)
"""Calls of attempts that wait for the store. They must not delay downloads of users."""

PACKS = Lane("places for uploads", 8, waiting=32, patience=20.0)
"""Uploads of packs, each of which needs up to 16 MiB of memory."""

MANIFESTS = Lane("place for a manifest", 1, waiting=8, patience=30.0)
"""Checks of manifests. One with a million files needs hundreds of megabytes of memory."""

NUMBERS = Lane("numbers", 2, waiting=16, patience=30.0)
"""Scrapes by Prometheus. Each scrape waits for the one before it."""
