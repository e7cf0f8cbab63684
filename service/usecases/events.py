"""The events of a job, in pages and in batches for a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import select

from baton.domain.lenient_reading import mapping
from baton.domain.states import TERMINAL_JOBS
from baton.domain.views import EventPage, EventView
from service.db.tables import Event
from service.db.unit_of_work import Unit

PAGE_BYTES = 1 << 20
"""Approximate maximum size of a page or a part of a stream. A larger single event is sent alone."""

FIRST_ROWS, ROW_BYTES = 32, 200


@dataclass(frozen=True)
class Batch:
    """Events in order. `ended`: the state in which the job has ended, if this batch contains its last event."""

    events: list[EventView]
    more: bool
    ended: str | None


def event_page(unit: Unit, job_id: str, after: int, limit: int) -> EventPage:
    """The events after number `after`: at most `limit` and about PAGE_BYTES. Raises NotFound."""
    batch = event_batch(unit, job_id, after, limit)
    return EventPage(items=batch.events, next_after=batch.events[-1].sequence if batch.more else None)


def event_batch(unit: Unit, job_id: str, after: int, limit: int) -> Batch:
    """The events that follow number `after`, and whether they are the last. Raises NotFound."""
    # Read the job's row first. If the job has ended, all its events then exist, at every isolation level.
    job = unit.find_job(job_id)
    events: list[EventView] = []
    size, more, fits = 0, True, True
    while more and fits and len(events) < limit:
        rows = min(limit - len(events), _rows_that_fit(len(events), size))
        last = events[-1].sequence if events else after
        query = select(Event).where(Event.job_id == job.id, Event.sequence > last).order_by(Event.sequence)
        read = [event_view(row) for row in unit.session.scalars(query.limit(rows + 1))]
        taken, size = _fitting(read[:rows], size, at_least=0 if events else 1)
        events += taken
        more, fits = len(read) > len(taken), len(taken) == len(read[:rows])
    ended = job.state if job.state in TERMINAL_JOBS and not more else None
    return Batch(events, more, ended)


def _rows_that_fit(count: int, size: int) -> int:
    """The number of rows to read next, estimated from the mean size so far. The first estimate is small: events may be
    large.
    """
    return max(1, (PAGE_BYTES - size) * count // size) if count else FIRST_ROWS


def _fitting(read: list[EventView], size: int, at_least: int) -> tuple[list[EventView], int]:
    """The events that fit on the page (always the first `at_least`), and the page's new size in bytes."""
    for number, view in enumerate(read):
        own = ROW_BYTES + len(json.dumps(view.message)) + len(json.dumps(view.data))
        if number >= at_least and size + own > PAGE_BYTES:
            return read[:number], size
        size += own
    return read, size


def event_view(row: Event) -> EventView:
    """One event, as the API returns it."""
    return EventView(
        sequence=row.sequence, at=row.at, kind=row.kind, actor=row.actor, message=row.message, data=mapping(row.data)
    )
