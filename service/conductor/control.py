"""The quick steps of a pass: leases and desired states. Each can be repeated at any point without harm."""

from __future__ import annotations

from sqlalchemy import exists, select

from core.domain.states import ACTIVE_JOBS, HELD_ATTEMPTS, TERMINAL_JOBS, AttemptState, DesiredState, JobState
from service.control import endings, owner
from service.control.submit import queue_attempt
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.tables import Attempt, Job
from service.db.types import db_now
from service.db.unit import Unit

ACTOR = "conductor"
BATCH = 1000


def expire_leases(database: Database) -> None:
    """End the attempts whose workers were not heard of."""
    query = select(Attempt.id).where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Attempt.lease_expires_at <= db_now())
    with database.read() as session:
        overdue = list(session.scalars(query.order_by(Attempt.lease_expires_at).limit(BATCH)))
    for attempt_id in overdue:
        with database.write() as session:
            endings.expire(Unit(session), attempt_id, ACTOR)


def settle(database: Database) -> None:
    """Give each job that nobody holds what its owner wants: an attempt, a pause, an end."""
    live = exists().where(Attempt.job_id == Job.id, IS_LIVE)
    unclaimed = exists().where(Attempt.job_id == Job.id, IS_LIVE, Attempt.state == AttemptState.QUEUED)
    active = Job.state.in_([*ACTIVE_JOBS])
    at_rest = (Job.state == JobState.PAUSED) & (Job.desired == DesiredState.PAUSE)
    query = select(Job.id).where(active, ~at_rest, ~live | (unclaimed & (Job.desired != DesiredState.RUN)))
    with database.read() as session:
        job_ids = list(session.scalars(query.limit(BATCH)))
    for job_id in job_ids:
        with database.write() as session:
            _settle(Unit(session), job_id)


def _settle(unit: Unit, job_id: str) -> None:
    job = unit.lock_job(job_id)
    if job.state in TERMINAL_JOBS or (job.state == JobState.PAUSED and job.desired == DesiredState.PAUSE):
        return
    if job.desired != DesiredState.RUN:
        owner.settle(unit, job, ACTOR)
    elif job.state in (JobState.QUEUED, JobState.RECOVERING) and unit.live_attempt(job) is None:
        queue_attempt(unit, job, after=0.0, actor=ACTOR)
