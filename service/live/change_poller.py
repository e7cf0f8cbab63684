"""Waits for changes of jobs, and for events of any job. One periodic query serves all waiting requests, so a request
needs no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select

from service.db.engine import Database
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.usecases.event_feed import last_number

CHUNK = 500
FEED = ""
"""Stands for the feed of all jobs, in the place of a job's id."""


class Marks(NamedTuple):
    """The counters of a job, or of the feed. Their values never decrease."""

    version: int
    events: int


@dataclass(eq=False)
class _Waiter:
    job_id: str
    passed: Callable[[Marks], bool]
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class ChangePoller:
    """Wakes the requests that wait for a change of a job. Any replica may have made the change."""

    def __init__(self, database: Database, interval: float = 0.2) -> None:
        self._database = database
        self._interval = interval
        self._waiters: set[_Waiter] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def close(self) -> None:
        """End all waits, within one interval. May be called from a signal handler."""
        self._closing = True

    @property
    def closing(self) -> bool:
        """Whether the service is stopping. Requests then should not wait any longer."""
        return self._closing

    async def newer(self, job_id: str, version: int, seconds: float) -> bool:
        """Whether the version grew beyond `version` within `seconds`, the job was deleted, or the service ends."""
        return await self._until(_Waiter(job_id, lambda marks: marks.version > version), seconds)

    async def more_events(self, job_id: str, sequence: int, seconds: float) -> bool:
        """Whether an event after number `sequence` came within `seconds`, the job was deleted, or the service ends."""
        return await self._until(_Waiter(job_id, lambda marks: marks.events > sequence), seconds)

    async def more_of_all(self, number: int, seconds: float) -> bool:
        """Whether the feed got an event after this number within `seconds`, or the service ends."""
        return await self._until(_Waiter(FEED, lambda marks: marks.events > number), seconds)

    async def _until(self, waiter: _Waiter, seconds: float) -> bool:
        self._waiters.add(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            await asyncio.wait_for(waiter.changed.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    async def _run(self) -> None:
        while self._waiters and not self._closing:
            try:
                # Requests that come during the query are not in its answer.
                asked = list(self._waiters)
                found = await run_in_threadpool(self._marks, {waiter.job_id for waiter in asked})
                for waiter in asked:
                    marks = found.get(waiter.job_id)
                    if marks is None or waiter.passed(marks):
                        waiter.changed.set()
            except Exception:
                await asyncio.sleep(self._interval)
            await asyncio.sleep(self._interval)
        for waiter in self._waiters:
            waiter.changed.set()

    def _marks(self, job_ids: Collection[str]) -> dict[str, Marks]:
        ids, found = [job_id for job_id in job_ids if job_id != FEED], dict[str, Marks]()
        with self._database.read() as session:
            if FEED in job_ids:
                found[FEED] = Marks(0, last_number(Unit(session)))
            for start in range(0, len(ids), CHUNK):
                query = select(Job.id, Job.version, Job.events).where(Job.id.in_(ids[start : start + CHUNK]))
                query = query.where(Job.deleted_at.is_(None))
                found.update({job_id: Marks(version, events) for job_id, version, events in session.execute(query)})
        return found
