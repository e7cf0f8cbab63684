"""The events of all jobs in one order.

A number that a transaction draws while it runs is not an order for readers: a transaction with a lower number may
commit later, and a reader that has seen a higher one would never return to it. So events are numbered after their
commit, by the reconciler (`number_events`): it numbers what it sees, in one transaction at a time, which holds the lock
of the row with the last number. The numbers of one transaction are above those of all transactions before it, and
become visible together. A reader that has seen number N has therefore seen, or could have seen, all below N.

The price is one update of each event, and a delay of up to one pass of the reconciler.

Within a pass, events have the order of their times, and those of one job the order of their sequence numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, select, update

from baton.domain.views import FeedEvent, FeedPage
from service.db.base import IS_FED, IS_UNFED
from service.db.tables import Event, EventFeed, Job
from service.db.unit_of_work import Unit
from service.usecases.events import PAGE_BYTES, event_view, size_of
from service.usecases.paging import Place, Sort, directed

BATCH = 500
"""The most events that one transaction numbers."""

CHUNK, SCANNED = 100, 2000
"""Bounds of one read: rows of one query, and rows in all, of which the caller may not see some."""

FIRST = 1
_UPDATE = (
    update(Event)
    .where(Event.job_id == bindparam("of_job"), Event.sequence == bindparam("of_sequence"))
    .values(feed=bindparam("number"))
)


def number_events(unit: Unit, most: int = BATCH) -> int:
    """Number events that have no number yet, oldest first. Returns how many: `most` if others may be left."""
    feed = unit.session.scalar(select(EventFeed).where(EventFeed.id == FIRST).with_for_update()) or _begin(unit)
    query = select(Event.job_id, Event.sequence, Event.at).where(IS_UNFED)
    rows = unit.session.execute(query.order_by(Event.at, Event.job_id, Event.sequence).limit(most)).all()
    if not rows:
        return 0
    changes = [
        {"of_job": row.job_id, "of_sequence": row.sequence, "number": feed.last + place}
        for place, row in enumerate(_in_order(rows), start=1)
    ]
    feed.last += len(changes)
    unit.session.connection().execute(_UPDATE, changes)
    return len(changes)


def _begin(unit: Unit) -> EventFeed:
    """The row with the last number, if it was lost. Another process may insert it first: the next pass then goes on."""
    newest = unit.session.scalar(select(Event.feed).where(IS_FED).order_by(Event.feed.desc()).limit(1))
    feed = EventFeed(id=FIRST, last=newest or 0)
    unit.session.add(feed)
    unit.session.flush()
    return feed


def _in_order(rows: Sequence[Any]) -> list[Any]:
    """By time. If the clock was set back within a job, its events keep the order of their sequence numbers."""
    latest: dict[str, Any] = {}
    keyed = []
    for row in sorted(rows, key=lambda row: (row.job_id, row.sequence)):
        latest[row.job_id] = max(latest.get(row.job_id, row.at), row.at)
        keyed.append(((latest[row.job_id], row.job_id, row.sequence), row))
    return [row for _, row in sorted(keyed, key=lambda one: one[0])]


def last_number(unit: Unit) -> int:
    """The number of the newest event; 0: there is none."""
    return unit.session.scalar(select(EventFeed.last).where(EventFeed.id == FIRST)) or 0


def unnumbered(unit: Unit) -> int:
    """How many events have no number yet, at most BATCH."""
    some = select(Event.sequence).where(IS_UNFED).limit(BATCH).subquery()
    return unit.session.scalar(select(func.count()).select_from(some)) or 0


@dataclass(frozen=True)
class Part:
    """A part of the feed. `last`: the number up to which it was read. `more`: events follow that were not read."""

    events: list[FeedEvent]
    last: int
    more: bool


def feed_page(unit: Unit, after: int, sort: Sort, cursor: str | None, limit: int) -> FeedPage:
    """A page of the events after number `after`: at most `limit` and about PAGE_BYTES. Raises BadParameter."""
    place = Place("feed", sort)
    key = place.key(cursor, int)
    found = _read(unit, after, key[0] if key else None, sort, limit, unit.project)
    return FeedPage(items=found.events, next_cursor=place.cursor(found.last) if found.more else None)


def feed_part(unit: Unit, after: int, limit: int, project: str | None) -> Part:
    """The events after number `after`, oldest first: at most `limit` and about PAGE_BYTES.

    `project`: only those of its jobs; None: those of all.
    """
    newest = last_number(unit)
    found = _read(unit, after, None, Sort("number", descending=False), limit, project)
    # Without more events, all up to `newest` are of jobs that are gone or not visible: nobody needs to look again.
    return found if found.more else Part(found.events, max(found.last, newest), more=False)


def _read(unit: Unit, after: int, key: int | None, sort: Sort, limit: int, project: str | None) -> Part:
    events: list[FeedEvent] = []
    size, last, scanned = 0, after if key is None else key, 0
    while scanned < SCANNED:
        query = _rows(after, key if not scanned else last, sort, project)
        rows = unit.session.execute(query.limit(CHUNK)).all()
        for row, name in rows:
            if name is not None:
                view = FeedEvent(**event_view(row).model_dump(), number=row.feed, job_id=row.job_id, job_name=name)
                size += size_of(view)
                if len(events) == limit or (events and size > PAGE_BYTES):
                    return Part(events, last, more=True)
                events.append(view)
            last = row.feed
        scanned += len(rows)
        if len(rows) < CHUNK:
            return Part(events, last, more=False)
    return Part(events, last, more=True)


def _rows(after: int, key: int | None, sort: Sort, project: str | None) -> Select[Any]:
    """Events, with the names of their jobs; without the name if the job is being deleted, or of another project."""
    name = select(Job.name).where(Job.id == Event.job_id, Job.deleted_at.is_(None))
    if project is not None:
        name = name.where(Job.project == project)
    query = select(Event, name.scalar_subquery()).where(IS_FED, Event.feed > after)
    if key is not None:
        query = query.where(Event.feed < key if sort.descending else Event.feed > key)
    return query.order_by(directed(Event.feed, sort))
