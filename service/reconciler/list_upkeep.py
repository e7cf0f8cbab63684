"""Keeps what lists need: the numbers of the event feed, and the metrics of jobs that an older release wrote."""

from __future__ import annotations

from sqlalchemy import select

from service.db.base import IS_UNLISTED
from service.db.engine import Database
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.reconciler.isolation import Isolation, Item, ready
from service.usecases import event_feed, job_metrics

STEP = "list_metrics"
JOBS = 50
BATCHES = 20
"""The most transactions of one pass that numbers events."""


def number_events(database: Database) -> None:
    """Give numbers to the events that have none, in bounded transactions."""
    with database.read() as session:
        waiting = event_feed.unnumbered(Unit(session))
    for _ in range(BATCHES):
        if not waiting:
            return
        with database.write_politely() as session:
            full = event_feed.number_events(Unit(session)) == event_feed.BATCH
        waiting = int(full)


def list_metrics(database: Database, isolation: Isolation) -> None:
    """Store the metrics of some jobs whose metrics an older release may have written, and of jobs that have ended."""
    query = select(Job.id).where(IS_UNLISTED, ready(STEP, Job.id)).order_by(Job.number).limit(JOBS)
    with database.read() as session:
        items = [Item(job_id, job_id) for job_id in session.scalars(query)]
    isolation.each(STEP, items, lambda job_id: _list(database, job_id))


def _list(database: Database, job_id: str) -> None:
    with database.write() as session:
        unit = Unit(session, wait=False)
        job_metrics.catch_up(unit, unit.lock_job(job_id, doomed=True))
