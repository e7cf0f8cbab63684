"""Reads the logs of attempts, which workers ship to the store in segments, and waits for new segments.

The end offset of a segment is part of the next segment's name. So a waiting reader requests one name and never lists
the store. All calls to the store run in the lane STORE, so a store that hangs delays no other requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from fastapi.concurrency import run_in_threadpool

from baton.domain.manifest import log_offset, log_prefix, log_segment
from baton.storage import BlobStore
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.lanes import STORE
from service.live.change_poller import ChangePoller
from service.store.blob_stream import opened
from service.usecases.attempt_logs import AttemptLog, find_log

WALK = 16
SHORTEST_PAUSE, LONGEST_PAUSE, PAUSE_SHARE = 0.5, 10.0, 1 / 240


@dataclass(frozen=True)
class Span:
    """Bytes [start, end) of one segment."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Part:
    """A part of a log, from the requested offset to `end`. `whole`: the worker has marked `end` as the end of the log.

    `last`: the log had no bytes after `end` at the time of the read.
    """

    spans: tuple[Span, ...]
    end: int
    whole: bool
    last: bool

    @property
    def size(self) -> int:
        """Size in bytes."""
        return sum(span.end - span.start for span in self.spans)


@dataclass(frozen=True)
class Answer:
    """A part of a log. `complete`: no more bytes will follow."""

    part: Part
    complete: bool


class LogReader:
    """Reads logs, and waits for new bytes."""

    def __init__(self, database: Database, store: BlobStore, watch: ChangePoller) -> None:
        self._database, self._store, self._watch = database, store, watch

    async def read(self, job_id: str, number: int, offset: int, wait: float) -> Answer:
        """The bytes after `offset`. If there are none yet, waits up to `wait` seconds for some. Raises NotFound."""
        log = await self._find(job_id, number)
        part = await STORE.run(part_after, self._store, log, offset)
        give_up = anyio.current_time() + wait
        while _waits(log, part, offset) and anyio.current_time() < give_up and not self._watch.closing:
            log = await self._rest(log, min(give_up, anyio.current_time() + _pause(log)))
            part = await STORE.run(_walk, self._store, log, offset)
        return Answer(part, part.whole or (log.over and part.last))

    async def content(self, part: Part) -> AsyncIterator[bytes]:
        """The bytes of a part."""
        for number, span in enumerate(part.spans):
            async for chunk in await opened(self._store, span.name, span.start, span.end, begun=number > 0):
                yield chunk

    async def _rest(self, log: AttemptLog, until: float) -> AttemptLog:
        """Sleep until the time `until`. Ends early when the attempt ends, because its last lines then arrive soon."""
        while not self._watch.closing and (left := until - anyio.current_time()) > 0:
            if await self._watch.newer(log.job_id, log.version, left):
                before, log = log, await self._find(log.job_id, log.number)
                if (log.ended, log.fence) != (before.ended, before.fence):
                    break
        return log

    async def _find(self, job_id: str, number: int) -> AttemptLog:
        def find() -> AttemptLog:
            with self._database.read() as session:
                return find_log(Unit(session), job_id, number)

        return await run_in_threadpool(find)


def _waits(log: AttemptLog, part: Part, offset: int) -> bool:
    # A request with an offset beyond the end gets the end at once.
    return part.size == 0 and part.end == offset and not part.whole and not log.over


def _pause(log: AttemptLog) -> float:
    # A worker uploads less often as its attempt gets older, so the reader polls less often too.
    return SHORTEST_PAUSE if log.ended else min(max(log.age * PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE)


def part_after(store: BlobStore, log: AttemptLog, offset: int) -> Part:
    """The part of the log that begins at `offset` and is in the store."""
    if offset:
        part = _walk(store, log, offset)
        if part.size or part.whole:
            return part
    return _listed(store, log, offset)


def _walk(store: BlobStore, log: AttemptLog, offset: int) -> Part:
    """Follow the segments by name, if one begins at `offset`. At most WALK segments."""
    spans: list[Span] = []
    end = offset
    if log.fence is None:
        return Part((), end, False, True)
    while len(spans) < WALK:
        found = store.stat(log_segment(log.job_id, log.number, log.fence, end))
        if found is None or found.size == 0:
            return Part(tuple(spans), end, found is not None, True)
        spans.append(Span(found.name, 0, found.size))
        end += found.size
    return Part(tuple(spans), end, False, False)


def _listed(store: BlobStore, log: AttemptLog, offset: int) -> Part:
    spans: list[Span] = []
    end, whole = 0, False
    prefix = None if log.fence is None else log_prefix(log.job_id, log.number, log.fence)
    for found in store.list(f"{prefix}/") if prefix else ():
        if log_offset(found.name) != end:
            continue  # not the next segment of this log
        whole = found.size == 0
        if end + found.size > offset:
            spans.append(Span(found.name, max(offset - end, 0), found.size))
        end += found.size
    return Part(tuple(spans), end, whole, True)
