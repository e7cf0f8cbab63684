"""The events of all jobs as Server-Sent Events: those after the reader's last one, then new ones, without an end.

As in service.live.event_stream, a waiting reader needs only a task, and readers at the same place share one read. A
reader holds one part of the feed in memory (at most PAGE events and about a megabyte) and gets the next one when it has
taken this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from service.db.engine import Database
from service.db.outage import away
from service.db.unit_of_work import Unit
from service.live.change_poller import ChangePoller
from service.live.event_stream import HEARTBEAT_SECONDS, PAGE, RECONNECT_MILLISECONDS
from service.usecases.event_feed import feed_part, last_number


@dataclass(frozen=True)
class _Part:
    """Encoded events. `last`: up to which number of the feed the reader is. `more`: others follow."""

    data: bytes
    last: int
    more: bool


class FeedStream:
    """Streams of the feed."""

    def __init__(self, database: Database, watch: ChangePoller) -> None:
        self._database, self._watch = database, watch
        self._reading: dict[tuple[str | None, int], asyncio.Task[_Part]] = {}

    async def stream(self, after: int | None, project: str | None) -> AsyncGenerator[bytes]:
        """Send the events after number `after`, until the service stops. None: only new events.

        `project`: only those of its jobs; None: those of all.
        """
        yield format_sse_event(retry=RECONNECT_MILLISECONDS)
        try:
            last = await run_in_threadpool(self._newest) if after is None else after
            while not self._watch.closing:
                part = await self._part(project, last)
                if part.data:
                    yield part.data
                last = part.last
                if not part.more and not await self._watch.more_of_all(last, HEARTBEAT_SECONDS):
                    yield KEEPALIVE_COMMENT
        except Exception as error:
            if not away(error):
                raise  # otherwise the reader reconnects with the number of its last event

    async def _part(self, project: str | None, after: int) -> _Part:
        key = (project, after)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(run_in_threadpool(self._read, project, after))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)  # a reader that disconnects must not cancel the read for the others

    def _newest(self) -> int:
        with self._database.read() as session:
            return last_number(Unit(session))

    def _read(self, project: str | None, after: int) -> _Part:
        with self._database.read() as session:
            found = feed_part(Unit(session), after, PAGE, project)
        data = b"".join(
            format_sse_event(id=str(event.number), event=event.kind, data_str=event.model_dump_json())
            for event in found.events
        )
        return _Part(data, found.last, found.more)
