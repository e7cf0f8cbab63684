"""The log of a job: pages of it, and what a stream of it needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from core.domain.states import TERMINAL_JOBS
from core.domain.views import EventPage, EventView
from service.db.tables import Event
from service.db.unit import Unit


@dataclass(frozen=True)
class Batch:
    """Events in order. `ended`: the state that the job ended in, once this batch has its last event."""

    events: list[EventView]
    more: bool
    ended: str | None


def event_page(unit: Unit, job_id: str, after: int, limit: int) -> EventPage:
    """The events that follow number `after`. Raises NotFound."""
    batch = event_batch(unit, job_id, after, limit)
    return EventPage(items=batch.events, next_after=batch.events[-1].sequence if batch.more else None)


def event_batch(unit: Unit, job_id: str, after: int, limit: int) -> Batch:
    """The events that follow number `after`, and whether they are the last. Raises NotFound."""
    # The job's row first: a job that is seen as ended has all its events, whatever the database isolates.
    job = unit.find_job(job_id)
    query = select(Event).where(Event.job_id == job.id, Event.sequence > after).order_by(Event.sequence)
    rows = list(unit.session.scalars(query.limit(limit + 1)))
    more = len(rows) > limit
    ended = job.state if job.state in TERMINAL_JOBS and not more else None
    return Batch([event_view(row) for row in rows[:limit]], more, ended)


def event_view(row: Event) -> EventView:
    """One line of the log."""
    return EventView(
        sequence=row.sequence, at=row.at, kind=row.kind, actor=row.actor, message=row.message, data=row.data
    )
