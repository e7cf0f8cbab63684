"""Describes, for the owner of a queued job, what the job waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from baton.domain.extensions import ONLY_PROGRAMS, missing
from baton.domain.lenient_reading import names
from baton.domain.states import AttemptState, DesiredState
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.usecases import checkpoint_copies
from service.usecases.attempt_limits import Limits
from service.usecases.live_workers import Seen, seen
from service.usecases.project_quotas import with_quotas
from service.usecases.startable_attempts import occupied
from service.usecases.worker_avoidance import PASSES
from service.usecases.worker_versions import those_that_gave_up

MOMENT = "%Y-%m-%d %H:%M:%S"


def waits(
    unit: Unit, jobs: Sequence[Job], attempts: Mapping[str, Sequence[Attempt]], limits: Limits, now: datetime
) -> dict[str, str]:
    """The text by job id, for the jobs whose newest attempt is queued."""
    queued = [(job, attempts[job.id][-1]) for job in jobs if _is_queued(job, attempts[job.id])]
    if not queued:
        return {}
    limits = with_quotas(unit.session, limits)
    taken, workers = occupied(unit.session, limits), seen(unit, now)
    copies = checkpoint_copies.waits(unit, [job for job, _ in queued])
    gave_up = those_that_gave_up(unit, [job.id for job, _ in queued if job.attempts > 1])
    found = {}
    for job, attempt in queued:
        full = next((p for p in limits.places(job.queue, job.labels, job.project) if taken[p] >= p.most), None)
        # An attempt that was dispatched before is not in a backoff: the worker that took its message could not run it.
        if job.id in copies:
            found[job.id] = copies[job.id]
        elif attempt.not_before > now and not attempt.dispatches:
            found[job.id] = f"the end of the backoff at {attempt.not_before:{MOMENT}} UTC"
        elif full is not None:
            found[job.id] = f"a place: {full} is at its limit of {full.most}"
        elif not (able := [one for one in workers if one.serves(job)]):
            found[job.id] = f"a worker: none for queue {job.queue}{_with(job, workers)} was seen within the last 2 min"
        elif all(one.spec_version < job.spec_version or one.name in gave_up.get(job.id, ()) for one in able):
            found[job.id] = (
                f"a newer worker: the workers of queue {job.queue}{_with(job)} cannot read the spec of this job; "
                "upgrade them"
            )
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


def _with(job: Job, workers: Sequence[Seen] = ()) -> str:
    """What a worker must have. `workers`: if some of the queue run only programs, this names what they lack."""
    only = any(ONLY_PROGRAMS in one.has and job.queue in one.queues for one in workers)
    lacking = missing(names(job.needs), (ONLY_PROGRAMS,) if only else ())
    return f" with {', '.join(lacking)}" if lacking else ""


def _is_queued(job: Job, attempts: Sequence[Attempt]) -> bool:
    return job.desired == DesiredState.RUN and bool(attempts) and attempts[-1].state == AttemptState.QUEUED
