"""The events of jobs as Server-Sent Events: first the events after the reader's last one, then new ones.

A waiting stream needs only a task, but no thread and no transaction. One periodic query wakes all streams
(service.live.change_poller). Streams of one job that wait for the same event share one read of the database.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from service.db.engine import Database
from service.db.outage import away
from service.db.unit_of_work import Unit
from service.errors import NotFound
from service.live.change_poller import ChangePoller
from service.usecases.events import event_batch

HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 1000
PAGE = 200
END = "end"


@dataclass(frozen=True)
class Piece:
    """Encoded events. `last`: number of the last one. `ended`: the job's end state, if these are its last events."""

    data: bytes
    last: int
    more: bool
    ended: str | None

    @property
    def over(self) -> bool:
        """Whether there is no event to send, and none will follow."""
        return self.ended is not None and not self.data


class EventStream:
    """Streams of events."""

    def __init__(self, database: Database, watch: ChangePoller) -> None:
        self._database, self._watch = database, watch
        self._reading: dict[tuple[str, int], asyncio.Task[Piece]] = {}

    async def piece(self, job_id: str, after: int) -> Piece:
        """The existing events after number `after`. Raises NotFound."""
        key = (job_id, after)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(run_in_threadpool(self._read, job_id, after))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)  # a reader that disconnects must not cancel the read for the others

    async def stream(self, job_id: str, piece: Piece) -> AsyncGenerator[bytes]:
        """Send `piece` and the events after it, until the job's last event or until the service stops."""
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
            except NotFound:
                return  # the job was deleted: the reader reconnects and gets 404
            except Exception as error:
                if away(error):
                    return  # the reader reconnects with the number of its last event
                raise

    def _read(self, job_id: str, after: int) -> Piece:
        with self._database.read() as session:
            batch = event_batch(Unit(session), job_id, after, PAGE)
        last = batch.events[-1].sequence if batch.events else after
        data = b"".join(
            format_sse_event(id=str(event.sequence), event=event.kind, data_str=event.model_dump_json())
            for event in batch.events
        )
        return Piece(data, last, batch.more, batch.ended)
