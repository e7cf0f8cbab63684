"""The logs of jobs as Server-Sent Events: replayed from where a reader was, then live.

A stream that waits costs a task and nothing else: no thread, no transaction. One query wakes all
(service.live.change_poller). Streams that are woken at the same place of the same log share one read of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from baton.domain.views import EventView
from service.db.engine import Database
from service.db.outage import away
from service.db.unit_of_work import Unit
from service.live.change_poller import ChangePoller
from service.usecases.events import event_batch

HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 1000
PAGE = 200
END = "end"


@dataclass(frozen=True)
class Piece:
    """A part of a log as it is sent. `last`: number of its last event; `ended`: the job's end state, if that is all."""

    data: bytes
    last: int
    more: bool
    ended: str | None

    @property
    def over(self) -> bool:
        """Whether there is nothing to send, and never will be."""
        return self.ended is not None and not self.data


class EventStream:
    """Streams of events."""

    def __init__(self, database: Database, watch: ChangePoller) -> None:
        self._database, self._watch = database, watch
        self._reading: dict[tuple[str, int], asyncio.Task[Piece]] = {}

    async def piece(self, job_id: str, after: int) -> Piece:
        """The events that follow number `after`, as far as they exist. Raises NotFound."""
        key = (job_id, after)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(run_in_threadpool(self._read, job_id, after))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)  # one reader that leaves must not take the others' answer away

    async def stream(self, job_id: str, piece: Piece) -> AsyncGenerator[bytes]:
        """Send `piece` and what follows, until the job's last event, the service's end, or the reader's."""
        yield format_sse_event(retry=RECONNECT_MILLISECONDS)
        while True:
            if piece.data:
                yield piece.data
            if piece.ended is not None:
                yield format_sse_event(event=END, data_str=json.dumps({"status": piece.ended}))
                return
            if not piece.more and not await self._watch.more_events(job_id, piece.last, HEARTBEAT_SECONDS):
                yield KEEPALIVE_COMMENT
            if self._watch.closing:
                return
            try:
                piece = await self.piece(job_id, piece.last)
            except Exception as error:
                if away(error):
                    return  # the reader comes again, with the number of the last event that it got
                raise

    def _read(self, job_id: str, after: int) -> Piece:
        with self._database.read() as session:
            batch = event_batch(Unit(session), job_id, after, PAGE)
        last = batch.events[-1].sequence if batch.events else after
        return Piece(b"".join(map(_frame, batch.events)), last, batch.more, batch.ended)


def _frame(event: EventView) -> bytes:
    return format_sse_event(id=str(event.sequence), event=event.kind, data_str=event.model_dump_json())
