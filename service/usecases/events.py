"""The events of a job, in pages and in batches for a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from baton.domain.lenient_reading import mapping
from baton.domain.states import TERMINAL_JOBS
from baton.domain.views import EventPage, EventView
from service.db.tables import Event
from service.db.unit_of_work import Unit
from service.usecases.paging import Place, Sort

PAGE_BYTES = 1 << 20
"""Approximate maximum size of a page or a part of a stream. A larger single event is sent alone."""

FIRST_ROWS, ROW_BYTES = 32, 200


@dataclass(frozen=True)
class Fitting:
    """Events that fit on a page, in order. `more`: others follow."""

    events: list[EventView]
    more: bool


@dataclass(frozen=True)
class Batch:
    """Events in order. `ended`: the state in which the job has ended, if this batch contains its last event."""

    events: list[EventView]
    more: bool
    ended: str | None


def event_page(unit: Unit, job_id: str, after: int, sort: Sort, cursor: str | None, limit: int) -> EventPage:
    """A page of the events after number `after`: at most `limit` and about PAGE_BYTES.

    Raises NotFound, BadParameter.
    """
    job = unit.find_job(job_id)
    place = Place("events", sort, {"job": job.id})
    key = place.key(cursor, int)
    if not sort.descending:
        found = _oldest_first(unit, job.id, max(after, key[0] if key else 0), limit)
        next_after = found.events[-1].sequence if found.more else None
    else:
        found, next_after = _newest_first(unit, job.id, after, key[0] if key else None, limit), None
    following = place.cursor(found.events[-1].sequence) if found.more else None
    return EventPage(items=found.events, next_after=next_after, next_cursor=following)


def event_batch(unit: Unit, job_id: str, after: int, limit: int) -> Batch:
    """The events that follow number `after`, and whether they are the last. Raises NotFound."""
    # Read the job's row first. If the job has ended, all its events then exist, at every isolation level.
    job = unit.find_job(job_id)
    found = _oldest_first(unit, job.id, after, limit)
    ended = job.state if job.state in TERMINAL_JOBS and not found.more else None
    return Batch(found.events, found.more, ended)


def _oldest_first(unit: Unit, job_id: str, after: int, limit: int) -> Fitting:
    def read(last: EventView | None, rows: int) -> list[EventView]:
        query = select(Event).where(Event.job_id == job_id, Event.sequence > (last.sequence if last else after))
        return [event_view(row) for row in unit.session.scalars(query.order_by(Event.sequence).limit(rows))]

    return _that_fit(read, limit)


def _newest_first(unit: Unit, job_id: str, after: int, before: int | None, limit: int) -> Fitting:
    def read(last: EventView | None, rows: int) -> list[EventView]:
        query = select(Event).where(Event.job_id == job_id, Event.sequence > after)
        if (bound := last.sequence if last else before) is not None:
            query = query.where(Event.sequence < bound)
        return [event_view(row) for row in unit.session.scalars(query.order_by(Event.sequence.desc()).limit(rows))]

    return _that_fit(read, limit)


def _that_fit(read: Callable[[EventView | None, int], Sequence[EventView]], limit: int) -> Fitting:
    """At most `limit` events, and about PAGE_BYTES.

    `read(last, rows)`: at most so many events, those that follow the event `last`, or the first ones. It is called with
    few rows first, because events may be large.
    """
    events: list[EventView] = []
    size, more, fits = 0, True, True
    while more and fits and len(events) < limit:
        rows = min(limit - len(events), _rows_that_fit(len(events), size))
        found = list(read(events[-1] if events else None, rows + 1))
        taken, size = _fitting(found[:rows], size, at_least=0 if events else 1)
        events += taken
        more, fits = len(found) > len(taken), len(taken) == len(found[:rows])
    return Fitting(events, more)


def _rows_that_fit(count: int, size: int) -> int:
    """The number of rows to read next, estimated from the mean size so far. The first estimate is small: events may be
    large.
    """
    return max(1, (PAGE_BYTES - size) * count // size) if count else FIRST_ROWS


def _fitting(read: list[EventView], size: int, at_least: int) -> tuple[list[EventView], int]:
    """The events that fit on the page (always the first `at_least`), and the page's new size in bytes."""
    for number, view in enumerate(read):
        own = size_of(view)
        if number >= at_least and size + own > PAGE_BYTES:
            return read[:number], size
        size += own
    return read, size


def size_of(view: EventView) -> int:
    """About the bytes of an event in an answer."""
    return ROW_BYTES + len(json.dumps(view.message)) + len(json.dumps(view.data))


def event_view(row: Event) -> EventView:
    """One event, as the API returns it."""
    return EventView(
        sequence=row.sequence, at=row.at, kind=row.kind, actor=row.actor, message=row.message, data=mapping(row.data)
    )
