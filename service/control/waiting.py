"""What a job that nobody trains waits for, in words for its owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from core.domain.extensions import missing
from core.domain.states import AttemptState, DesiredState
from core.domain.stored import names
from service.control.limits import Limits
from service.control.passing import PASSES
from service.control.startable import occupied
from service.db.tables import Attempt, Job, Worker
from service.db.unit import Unit

SEEN_WITHIN = timedelta(minutes=2)


def waits(
    unit: Unit, jobs: Sequence[Job], attempts: Mapping[str, Sequence[Attempt]], limits: Limits, now: datetime
) -> dict[str, str]:
    """By id of the job; only for those whose newest attempt waits to be claimed."""
    queued = [(job, attempts[job.id][-1]) for job in jobs if _is_queued(job, attempts[job.id])]
    if not queued:
        return {}
    taken, workers = occupied(unit.session, limits), _workers(unit, now)
    found = {}
    for job, attempt in queued:
        full = next((p for p in limits.places(job.queue, job.labels) if taken[p] >= p.most), None)
        # One that was sent before pauses until it is sent again: who took its message lacked something.
        if attempt.not_before > now and not attempt.dispatches:
            found[job.id] = f"the end of the backoff at {attempt.not_before:%Y-%m-%d %H:%M:%S} UTC"
        elif full is not None:
            found[job.id] = f"a place: {full} is at its limit of {full.most}"
        elif not any(job.queue in queues and not missing(names(job.needs), has) for queues, has in workers):
            found[job.id] = f"a worker: none for queue {job.queue}{_with(job)} was seen within the last 2 min"
        elif job.reason in PASSES:
            found[job.id] = f"a worker of queue {job.queue}{_with(job)} other than the last one, where {job.reason}"
        else:
            found[job.id] = f"a worker of queue {job.queue}{_with(job)}"
    return found


def _with(job: Job) -> str:
    lacking = missing(names(job.needs), ())
    return f" with {', '.join(lacking)}" if lacking else ""


def _is_queued(job: Job, attempts: Sequence[Attempt]) -> bool:
    return job.desired == DesiredState.RUN and bool(attempts) and attempts[-1].state == AttemptState.QUEUED


def _workers(unit: Unit, now: datetime) -> list[tuple[list[str], list[str]]]:
    """Queues and extensions of each."""
    query = select(Worker.queues, Worker.extensions).where(Worker.last_seen_at > now - SEEN_WITHIN)
    able = query.where(Worker.ended_at.is_(None), Worker.refusal.is_(None))
    return [(names(row.queues), names(row.extensions)) for row in unit.session.execute(able)]
