"""Waiting for a job to change: one query a moment for all who wait, no thread and no transaction for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select

from service.db.engine import Database
from service.db.tables import Job

CHUNK = 500


@dataclass(eq=False)
class _Waiter:
    job_id: str
    version: int
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Watch:
    """Wakes those who wait for a job's version to grow, whichever replica changed it."""

    def __init__(self, database: Database, interval: float = 0.2) -> None:
        self._database = database
        self._interval = interval
        self._waiters: set[_Waiter] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def close(self) -> None:
        """Let everybody who waits go, within one interval. May be called from a signal handler."""
        self._closing = True

    async def newer(self, job_id: str, version: int, seconds: float) -> None:
        """Return when the job's version is greater than `version`, when the time is over, or when the service ends."""
        waiter = _Waiter(job_id, version)
        self._waiters.add(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            await asyncio.wait_for(waiter.changed.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)

    async def _run(self) -> None:
        while self._waiters and not self._closing:
            try:
                await self._wake()
            except Exception:
                await asyncio.sleep(self._interval)
            await asyncio.sleep(self._interval)
        for waiter in self._waiters:
            waiter.changed.set()

    async def _wake(self) -> None:
        versions = await run_in_threadpool(self._versions, {waiter.job_id for waiter in self._waiters})
        for waiter in list(self._waiters):
            if versions.get(waiter.job_id, -1) > waiter.version:
                waiter.changed.set()

    def _versions(self, job_ids: Iterable[str]) -> dict[str, int]:
        ids, found = list(job_ids), {}
        with self._database.read() as session:
            for start in range(0, len(ids), CHUNK):
                query = select(Job.id, Job.version).where(Job.id.in_(ids[start : start + CHUNK]))
                found.update(dict(session.execute(query).all()))
        return found
