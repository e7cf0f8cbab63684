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
from typing import Any

from sqlalchemy import bindparam, func, select, update

from baton.domain.views import FeedEvent, FeedPage
from service.db.base import IS_FED, IS_UNFED
from service.db.tables import Event, EventFeed, Job
from service.db.unit_of_work import Unit
from service.usecases.events import Fitting, event_view, that_fit
from service.usecases.paging import Place, Sort, directed

BATCH = 500
"""The most events that one transaction numbers."""

FIRST = 1
# No join: PostgreSQL may begin it with the jobs. This is looked up for each event.
_NAME = select(Job.name).where(Job.id == Event.job_id, Job.deleted_at.is_(None)).scalar_subquery()
_UPDATE = (
    update(Event)
    .where(Event.job_id == bindparam("of_job"), Event.sequence == bindparam("of_sequence"))
    .values(feed=bindparam("number"))
)


def number_events(unit: Unit, most: int = BATCH) -> int:
    """Number events that have no number yet, oldest first. Returns how many: `most` if others may be left."""
    feed = unit.session.scalars(select(EventFeed).where(EventFeed.id == FIRST).with_for_update()).one()
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


def feed_page(unit: Unit, after: int, sort: Sort, cursor: str | None, limit: int) -> FeedPage:
    """A page of the events after number `after`: at most `limit` and about PAGE_BYTES. Raises BadParameter."""
    place = Place("feed", sort)
    key = place.key(cursor, int)
    found = _read(unit, after, key[0] if key else None, sort, limit)
    return FeedPage(items=found.events, next_cursor=place.cursor(found.events[-1].number) if found.more else None)


def feed_batch(unit: Unit, after: int, limit: int) -> Fitting[FeedEvent]:
    """The events after number `after`, oldest first: at most `limit` and about PAGE_BYTES."""
    return _read(unit, after, None, Sort("number", descending=False), limit)


def _read(unit: Unit, after: int, key: int | None, sort: Sort, limit: int) -> Fitting[FeedEvent]:
    def read(last: FeedEvent | None, rows: int) -> list[FeedEvent]:
        query = select(Event, _NAME).where(IS_FED, _NAME.is_not(None), Event.feed > after)
        if (bound := last.number if last else key) is not None:
            query = query.where(Event.feed < bound if sort.descending else Event.feed > bound)
        found = unit.session.execute(query.order_by(directed(Event.feed, sort)).limit(rows))
        return [_view(row, name) for row, name in found]

    return that_fit(read, limit)


def _view(row: Event, name: str) -> FeedEvent:
    return FeedEvent(**event_view(row).model_dump(), number=row.feed, job_id=row.job_id, job_name=name)
