"""Keeps a job away from a worker for a limited time, because of how its last attempt ended there."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Select, select

from core.domain.extensions import missing
from core.domain.policies import PASSED_OVER_SECONDS, Reason
from core.domain.stored import names
from core.domain.wire import WorkerInfo
from service.db.tables import Attempt, Event, Job, Worker
from service.db.unit import Unit, clean

PASSES = frozenset({Reason.DATA_CHANGED.value, Reason.STALLED.value})
"""Reasons after which another worker may succeed."""

SEEN_WITHIN = timedelta(minutes=2)


def why_passed_over(unit: Unit, job: Job, worker: WorkerInfo) -> str | None:
    """Why the worker may not have the job's next attempt now. None if it may have it.

    The worker may have it after PASSED_OVER_SECONDS, so that the job does not wait forever for another worker. A resume
    by the owner ends the wait at once, because it clears the job's reason.
    """
    if job.reason not in PASSES:
        return None
    last = unit.session.scalars(_ended(job).limit(1)).first()
    if last is None or last.worker != clean(worker.name) or last.finished_at is None:
        return None
    left = PASSED_OVER_SECONDS - (unit.now() - last.finished_at).total_seconds()
    if left <= 0:
        return None
    return f"attempt {last.number} ended there with {last.reason}: other workers come first, for {left:.0f} s more"


def others(unit: Unit, job: Job, attempt: Attempt) -> bool:
    """Whether another worker that may run the job was seen lately."""
    lately = Worker.last_seen_at > unit.now() - SEEN_WITHIN
    query = select(Worker.queues, Worker.extensions).where(
        lately, Worker.name != attempt.worker, Worker.ended_at.is_(None)
    )
    found = unit.session.execute(query)
    needs = names(job.needs)
    return any(job.queue in names(row.queues) and not missing(needs, names(row.extensions)) for row in found)


def data_changes(unit: Unit, job: Job) -> int:
    """How many of the newest attempts in a row found changed data since the last resume."""
    resumed = (
        select(Event.at)
        .where(Event.job_id == job.id, Event.kind == "resumed")
        .order_by(Event.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    unit.session.flush()
    query = _ended(job).where((Attempt.created_at >= resumed) | resumed.is_(None)).limit(10)
    count = 0
    for attempt in unit.session.scalars(query):
        if attempt.reason != Reason.DATA_CHANGED:
            break
        count += 1
    return count


def _ended(job: Job) -> Select[Attempt]:
    return (
        select(Attempt)
        .where(Attempt.job_id == job.id, Attempt.finished_at.is_not(None))
        .order_by(Attempt.number.desc())
    )
