"""Deletes jobs: the order, and the removal of a job's rows after its objects are gone.

From the order on (`jobs.deleted_at`) users do not see the job. Its rows stay until no process can write an object of it
any more: an object that arrives late would otherwise have no row, and nobody would delete it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, CursorResult, bindparam, delete, select, true, tuple_, update

from baton.domain.states import TERMINAL_JOBS, DesiredState, JobState, shown_status
from service.db import audit
from service.db.base import IS_DOOMED
from service.db.notification_table import Notification
from service.db.tables import (
    Artifact,
    Attempt,
    Checkpoint,
    Epoch,
    Event,
    IdempotencyKey,
    Job,
    JobLabel,
    Pointer,
    Series,
    SeriesPoint,
    Stage,
)
from service.db.types import db_now
from service.db.unit_of_work import Unit, unlocked
from service.errors import Conflict
from service.principal import Principal
from service.usecases import job_control

LAST_WRITE = timedelta(hours=2)
"""How long after the end of a job a process may still write an object of it: a worker that was suspended and has its
own access to the store, a body that is being uploaded, a signed URL, a copy of the reconciler."""

ROWS, JOBS = 200, 20
"""Bounds of one transaction: rows that it deletes, and jobs whose deletion it orders or completes. On SQLite all other
writers wait for a transaction, so it must not take longer than a few heartbeats."""

POINTS = 20_000
"""The same of points of a series. They are small, and points that are deleted together are stored together."""

# Rows that refer to others come before them. The two columns together are unique.
_PARTS: tuple[tuple[Any, Any], ...] = (
    (Notification.job_id, Notification.number),
    (Pointer.job_id, Pointer.role),
    (Checkpoint.job_id, Checkpoint.number),
    (Artifact.job_id, Artifact.name),
    (Epoch.job_id, Epoch.epoch),
    (Series.job_id, Series.number),
    (Event.job_id, Event.sequence),
    (Stage.job_id, Stage.stage),
    (Attempt.job_id, Attempt.number),
    (IdempotencyKey.job_id, IdempotencyKey.key),
    (JobLabel.job_number, JobLabel.key),
)
_NO_SYNC = {"synchronize_session": False}


def order_deletion(unit: Unit, job_id: str, actor: str, *, force: bool) -> Job | None:
    """Order the deletion of a job. None if it is being deleted already.

    `force`: cancel a job that has not ended. It is hidden at once, and deleted when it has ended.

    Raises:
        NotFound: the job does not exist.
        Conflict: the job has not ended, and `force` is not set.
    """
    job = unit.lock_job(job_id, doomed=True)
    if job.deleted_at is not None:
        return None
    if job.state not in TERMINAL_JOBS:
        if not force:
            status = shown_status(JobState(job.state), DesiredState(job.desired))
            raise Conflict(f"the job is {status}: wait for its end, or give force=true to cancel and delete it")
        job_control.cancel(unit, job_id, actor)
    job.deleted_at = job.sweep_at = unit.now()
    return job


def order_ended(unit: Unit, job_ids: Sequence[str]) -> None:
    """Order the deletion of ended jobs whose rows this transaction has locked."""
    query = update(Job).where(Job.id.in_(job_ids)).values(deleted_at=unit.now(), sweep_at=unit.now())
    unit.session.execute(query, execution_options=_NO_SYNC)


class Doomed(NamedTuple):
    """A job whose objects are to be deleted now. `rows_at`: when its rows may go, because nothing writes its objects
    any more. None: now.
    """

    job_id: str
    rows_at: datetime | None


def due(unit: Unit, ready: ColumnElement[bool], limit: int) -> list[Doomed]:
    """Ended jobs whose deletion is ordered and whose objects are to be deleted now, oldest order first."""
    now = (Job.sweep_at <= db_now(), Job.deleted_at.is_not(None), Job.state.in_([*TERMINAL_JOBS]))
    query = select(Job.id, Job.deleted_at, Job.finished_at).where(*now, ready).order_by(Job.sweep_at).limit(limit)
    found = []
    for job_id, deleted_at, finished_at in unit.session.execute(query):
        ordered = cast("datetime", deleted_at)  # the query leaves out jobs without an order
        at = max(ordered, finished_at or ordered) + LAST_WRITE
        found.append(Doomed(job_id, at if at > unit.now() else None))
    return found


def wake_forgotten(unit: Unit) -> None:
    """Make deletions due whose `sweep_at` the previous release has emptied during an upgrade."""
    some = select(Job.number).where(IS_DOOMED, Job.sweep_at.is_(None)).limit(ROWS).with_for_update(skip_locked=True)
    query = update(Job).where(Job.number.in_(some)).values(sweep_at=unit.now())
    unit.session.execute(query, execution_options=_NO_SYNC)


def look_again(unit: Unit, times: Mapping[str, datetime]) -> None:
    """Delete the objects of these jobs again at these times, by id. Jobs whose rows are locked stay due."""
    free = unlocked(unit.session, Job, times)
    if free:
        query = update(Job).where(Job.id == bindparam("job")).values(sweep_at=bindparam("at"))
        unit.session.connection().execute(query, [{"job": job_id, "at": times[job_id]} for job_id in free])


def remove_rows(write: Callable[[Callable[[Unit], bool]], bool], job_ids: Sequence[str], actor: Principal) -> None:
    """Delete all rows of these jobs in small transactions, the rows of the jobs last. It can be repeated at any point.

    `write` runs a function in a transaction and returns its result.
    """
    while write(lambda unit: _remove_some(unit, job_ids)):
        pass
    for some in portions(job_ids):
        write(partial(_remove_jobs, job_ids=some, actor=actor))


def portions(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in portions of at most JOBS, one for each transaction."""
    return (job_ids[start : start + JOBS] for start in range(0, len(job_ids), JOBS))


def _remove_some(unit: Unit, job_ids: Sequence[str]) -> bool:
    """Delete up to ROWS rows that belong to the jobs. Returns whether there may be more."""
    if remove_points(unit, job_ids):
        return True
    left = ROWS
    numbers = select(Job.number).where(Job.id.in_(job_ids))
    for owner, key in _PARTS:
        theirs = owner.in_(numbers if owner is JobLabel.job_number else job_ids)
        some = select(owner, key).where(theirs).limit(left)
        query = delete(owner.class_).where(theirs, tuple_(owner, key).in_(some))
        left -= cast("CursorResult[Any]", unit.session.execute(query, execution_options=_NO_SYNC)).rowcount
        if left <= 0:
            return True
    return False


def remove_points(unit: Unit, job_ids: Sequence[str]) -> bool:
    """Delete up to POINTS points of one series of the jobs. Returns whether there may be more."""
    query = select(SeriesPoint.series).join(Series, Series.number == SeriesPoint.series)
    number = unit.session.scalar(query.where(Series.job_id.in_(job_ids)).limit(1))
    if number is None:
        return False
    those = SeriesPoint.series == number
    later = select(SeriesPoint.step).where(those).order_by(SeriesPoint.step).offset(POINTS).limit(1)
    first_kept = unit.session.scalar(later)
    before = true() if first_kept is None else SeriesPoint.step < first_kept
    unit.session.execute(delete(SeriesPoint).where(those, before), execution_options=_NO_SYNC)
    return True


def _remove_jobs(unit: Unit, job_ids: Sequence[str], actor: Principal) -> bool:
    """Delete the rows of the jobs, except rows that other transactions have locked: the next pass finds them again."""
    query = select(Job.id, Job.name, Job.state, Job.attempts).where(Job.id.in_(job_ids)).order_by(Job.id)
    there = unit.session.execute(query.with_for_update(skip_locked=True)).all()
    for job_id, name, state, attempts in there:
        data = {"name": name, "status": state, "attempts": attempts}
        audit.record(unit, "job_deleted", actor, f"job {name} deleted, with all its objects", data, subject=job_id)
    those = delete(Job).where(Job.id.in_([row.id for row in there]))
    unit.session.execute(those, execution_options=_NO_SYNC)
    return bool(there)
