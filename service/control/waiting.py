"""What a job that nobody trains waits for, in words for its owner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Text, cast, select

from core.domain.extensions import missing
from core.domain.states import AttemptState, DesiredState
from core.domain.stored import names
from service.control.limits import Limits
from service.control.passing import PASSES
from service.control.startable import occupied
from service.control.versions import those_that_gave_up
from service.db.tables import Attempt, Job, Worker
from service.db.unit import Unit

MOMENT = "%Y-%m-%d %H:%M:%S"
SEEN_WITHIN = timedelta(minutes=2)
MOST_WORKERS = 500
"""The workers that are read: this many, those seen last."""


def waits(
    unit: Unit, jobs: Sequence[Job], attempts: Mapping[str, Sequence[Attempt]], limits: Limits, now: datetime
) -> dict[str, str]:
    """By id of the job; only for those whose newest attempt waits to be claimed."""
    queued = [(job, attempts[job.id][-1]) for job in jobs if _is_queued(job, attempts[job.id])]
    if not queued:
        return {}
    taken, workers = occupied(unit.session, limits), _workers(unit, now)
    gave_up = those_that_gave_up(unit, [job.id for job, _ in queued if job.attempts > 1])
    found = {}
    for job, attempt in queued:
        full = next((p for p in limits.places(job.queue, job.labels) if taken[p] >= p.most), None)
        # One that was sent before pauses until it is sent again: who took its message lacked something.
        if attempt.not_before > now and not attempt.dispatches:
            found[job.id] = f"the end of the backoff at {attempt.not_before:{MOMENT}} UTC"
        elif full is not None:
            found[job.id] = f"a place: {full} is at its limit of {full.most}"
        elif not (able := [one for one in workers if one.serves(job)]):
            found[job.id] = f"a worker: none for queue {job.queue}{_with(job)} was seen within the last 2 min"
        elif all(one.spec_version < job.spec_version or one.name in gave_up.get(job.id, ()) for one in able):
            found[job.id] = f"a newer worker: those of queue {job.queue}{_with(job)} cannot read its spec; upgrade them"
        elif all(one.rests_until is not None and one.rests_until > now for one in able):
            until = min(one.rests_until for one in able if one.rests_until is not None)
            found[job.id] = (
                f"a worker of queue {job.queue}{_with(job)}: after crashes they rest until {until:{MOMENT}} UTC"
            )
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


@dataclass(frozen=True)
class _Seen:
    name: str
    queues: list[str]
    has: list[str]
    spec_version: int
    rests_until: datetime | None

    def serves(self, job: Job) -> bool:
        """Whether the worker takes attempts of the job's queue and has the required extensions."""
        return job.queue in self.queues and not missing(names(job.needs), self.has)


def _workers(unit: Unit, now: datetime) -> list[_Seen]:
    """The workers that were seen last and accept work."""
    # Read as text: invalid JSON then affects one worker and not the whole query.
    queues, has = cast(Worker.queues, Text).label("queues"), cast(Worker.extensions, Text).label("has")
    query = select(Worker.name, queues, has, Worker.spec_version, Worker.rests_until)
    query = query.where(Worker.last_seen_at > now - SEEN_WITHIN)
    query = query.where(Worker.ended_at.is_(None), Worker.refusal.is_(None))
    rows = unit.session.execute(query.order_by(Worker.last_seen_at.desc()).limit(MOST_WORKERS))
    return [_Seen(r.name, _names(r.queues), _names(r.has), r.spec_version, r.rests_until) for r in rows]


def _names(stored: str) -> list[str]:
    try:
        return names(json.loads(stored))
    except ValueError:
        return []
