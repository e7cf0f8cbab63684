"""Long polls for work. One periodic query serves all waiting workers, so a waiting worker needs no thread."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from baton.domain.wire import WorkerInfo
from service.db.engine import Database
from service.lanes import LEASES
from service.usecases.attempt_limits import Limits
from service.usecases.queue_backlog import Line
from service.usecases.startable_attempts import Startable, startable

HOLD_SECONDS = 3.0


@dataclass(eq=False)
class _Asker:
    queues: frozenset[str]
    extensions: frozenset[str]
    spec_version: int
    project: str | None
    until: float
    answer: asyncio.Future[str | None]

    def takes(self, line: Line) -> bool:
        """Whether this worker can run the attempts of this line (service.usecases.queue_backlog)."""
        return (
            self.project in (None, line.project)
            and line.queue in self.queues
            and line.required.met_by(self.extensions, self.spec_version)
        )


class WorkOffers:
    """Offers each startable attempt to one of the waiting workers. Any replica may have made the attempt startable.

    An offer is a hint: the claim decides who gets the attempt. For HOLD_SECONDS an offered attempt is not offered to
    another worker. The claim should arrive within this time.
    """

    def __init__(self, database: Database, limits: Limits, interval: float = 0.2) -> None:
        self._database, self._limits, self._interval = database, limits, interval
        self._askers: list[_Asker] = []
        self._offered: dict[str, float] = {}
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def close(self) -> None:
        """End all waits, within one interval. May be called from a signal handler."""
        self._closing = True

    def take_back(self, attempt_id: str) -> None:
        """Allow a new offer of the attempt, because its claim was refused for a reason that may change. Thread-safe."""
        self._offered.pop(attempt_id, None)

    async def next(
        self, queues: Collection[str], worker: WorkerInfo, seconds: float, project: str | None = None
    ) -> str | None:
        """A startable attempt of these queues that this worker can run. None if there was none in `seconds`.

        `project`: the only project that the worker serves; None: all.
        Raises the errors of the database if it is unavailable at the start.
        """
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        until = time.monotonic() + seconds
        asker = _Asker(frozenset(queues), frozenset(worker.extensions), worker.spec_version, project, until, answer)
        self._askers.append(asker)
        self._asked.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            return await asker.answer
        finally:
            self._askers.remove(asker)

    async def _run(self) -> None:
        seen: set[_Asker] = set()
        while self._askers and not self._closing:
            self._asked.clear()
            askers = list(self._askers)
            try:
                found = await LEASES.run(self._startable, askers)
            except Exception as error:
                # During an outage, workers that already wait continue to wait. New ones get the error at once.
                for one in askers:
                    if one not in seen and not one.answer.done():
                        one.answer.set_exception(error)
                found = []
            self._hand_out(askers, found)
            seen = set(askers)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._interval)
        _settle(self._askers)

    def _startable(self, askers: Sequence[_Asker]) -> list[Startable]:
        """At most as many attempts per queue and project as there are waiting workers.

        Reads no more rows than needed.
        """
        queues = frozenset[str]().union(*(one.queues for one in askers))
        left: defaultdict[tuple[str, str], int] = defaultdict(lambda: len(askers))
        found: list[Startable] = []
        kinds = list({(one.queues, one.extensions, one.spec_version, one.project): one for one in askers}.values())

        def wants(line: Line) -> bool:
            return left[line.queue, line.project] > 0 and any(kind.takes(line) for kind in kinds)

        with self._database.read() as session:
            for one in startable(session, self._limits, queues, wants):
                if self._free(one):
                    left[one.line.queue, one.line.project] -= 1
                    found.append(one)
        return found

    def _free(self, one: Startable) -> bool:
        return self._offered.get(one.attempt_id, 0.0) <= time.monotonic()

    def _hand_out(self, askers: Sequence[_Asker], found: Sequence[Startable]) -> None:
        now = time.monotonic()
        self._offered = {name: until for name, until in list(self._offered.items()) if until > now}
        for one in found:
            taker = next((a for a in askers if a.takes(one.line) and not a.answer.done()), None)
            if taker is not None and self._free(one):
                self._offered[one.attempt_id] = now + HOLD_SECONDS
                taker.answer.set_result(one.attempt_id)
        _settle([one for one in askers if one.until <= now])


def _settle(askers: Sequence[_Asker]) -> None:
    for one in askers:
        if not one.answer.done():
            one.answer.set_result(None)
