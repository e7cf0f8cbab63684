"""Refuses a job to a worker for a limited time, if the job's last attempt ended on this worker for certain reasons."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, select

from baton.domain.reasons import Reason
from baton.domain.retry_policy import PASSED_OVER_SECONDS
from baton.domain.wire import WorkerInfo
from service.db.tables import Attempt, Job, Worker
from service.db.unit_of_work import Unit, clean
from service.usecases.live_workers import may_serve, seen

PASSES = frozenset({Reason.DATA_CHANGED.value, Reason.STALLED.value})
"""Reasons of failed attempts after which another worker may succeed."""

MOST_ATTEMPTS = 10
"""Maximum number of attempts that `data_changes` reads."""


def why_passed_over(unit: Unit, job: Job, worker: WorkerInfo) -> str | None:
    """Why the worker must not claim the job's next attempt now. None if it may claim.

    After PASSED_OVER_SECONDS it may claim, so that the job does not wait forever for another worker. A resume by the
    owner ends the wait at once, because it clears the job's reason.
    """
    if job.reason not in PASSES:
        return None
    last = unit.session.execute(_ended(job).limit(1)).first()
    if last is None or last.worker != clean(worker.name) or last.finished_at is None:
        return None
    left = PASSED_OVER_SECONDS - (unit.now() - last.finished_at).total_seconds()
    if left <= 0:
        return None
    return f"attempt {last.number} ended there with {last.reason}: other workers come first, for {left:.0f} s more"


def others(unit: Unit, job: Job, attempt: Attempt) -> bool:
    """Whether another worker that may run the job was seen recently. Reads at most MOST_WORKERS rows."""
    other = (Worker.name != attempt.worker, Worker.spec_version >= job.spec_version)
    return any(worker.serves(job) for worker in seen(unit, unit.now(), *other, *may_serve(job)))


def data_changes(unit: Unit, job: Job) -> int:
    """The number of newest attempts that all found changed data, since the last pause and at most MOST_ATTEMPTS."""
    unit.session.flush()
    count = 0
    for row in unit.session.execute(_ended(job).limit(MOST_ATTEMPTS)):
        if row.reason != Reason.DATA_CHANGED:
            break
        count += 1
        if row.recovers is False:  # the first attempt after a pause, or the first of the job
            break
    return count


def _ended(job: Job) -> Select[int, str | None, str | None, datetime | None, bool | None]:
    """The ended attempts, newest first. Does not read columns with JSON, because invalid JSON would raise here."""
    columns = (Attempt.number, Attempt.reason, Attempt.worker, Attempt.finished_at, Attempt.recovers)
    ended = (Attempt.job_id == job.id, Attempt.finished_at.is_not(None))
    return select(*columns).where(*ended).order_by(Attempt.number.desc())
