"""Computes the totals of ended attempts for jobs of older releases, which did not store totals."""

from __future__ import annotations

from sqlalchemy import select

from service.db.base import IS_UNCOUNTED
from service.db.engine import Database
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.reconciler.isolation import Isolation, Item, ready
from service.usecases import attempt_totals

STEP = "count_attempts"
BATCH = 50


def count_attempts(database: Database, isolation: Isolation) -> None:
    """Store the totals of some jobs that have none. Lists then do not need to read all attempts of these jobs."""
    query = select(Job.id).where(IS_UNCOUNTED, ready(STEP, Job.id)).order_by(Job.number).limit(BATCH)
    with database.read() as session:
        items = [Item(job_id, job_id) for job_id in session.scalars(query)]
    isolation.each(STEP, items, lambda job_id: _count(database, job_id))


def _count(database: Database, job_id: str) -> None:
    with database.write() as session:
        unit = Unit(session, wait=False)
        attempt_totals.recount(unit, unit.lock_job(job_id, doomed=True))
