"""The quick steps of a pass: leases, desired states, messages. Each can be repeated at any point without harm."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import exists, select

from core.domain.queues import rq_queue
from core.domain.states import ACTIVE_JOBS, HELD_ATTEMPTS, TERMINAL_JOBS, AttemptState, DesiredState, JobState
from service.conductor.messages import Messages
from service.control import endings, owner
from service.control.limits import Limits
from service.control.startable import Startable, startable
from service.control.submit import queue_attempt
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.tables import Attempt, Job
from service.db.types import db_now
from service.db.unit import Unit

ACTOR = "conductor"
BATCH = 1000
FRESH = timedelta(seconds=1)


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


def dispatch(database: Database, messages: Messages, again_seconds: float, limits: Limits) -> None:
    """Send a message for each attempt that may start, and again for one whose message got lost."""
    now, due = _due(database, limits)
    sent = {one.attempt_id: one for one in due if one.dispatched_at is not None}
    for one in _in_order(one for one in due if one.dispatched_at is None):
        _send(database, messages, one, "dispatched")
    for one in _in_order(_lost(messages, sent, now, timedelta(seconds=again_seconds))):
        _send(database, messages, one, "dispatched again: its message was gone and nobody had claimed it")


def _due(database: Database, limits: Limits) -> tuple[datetime, list[Startable]]:
    with database.read() as session:
        return Unit(session).now(), list(startable(session, limits))


def _in_order(due: Iterable[Startable]) -> list[Startable]:
    """As they must be sent for their lists to be in order: what goes to the front, the last one first."""
    found = list(due)
    return [one for one in found if not one.again] + [one for one in reversed(found) if one.again]


def _lost(messages: Messages, sent: dict[str, Startable], now: datetime, again: timedelta) -> list[Startable]:
    if not sent:
        return []
    taken = set(sent) - messages.waiting(sorted({_list(one) for one in sent.values()}))
    known = messages.known(taken)
    # What a worker took may be on its way to the claim; what Redis does not know at all will never be claimed.
    return [one for id_, one in sent.items() if id_ in taken and _age(one, now) > (again if id_ in known else FRESH)]


def _list(one: Startable) -> str:
    return rq_queue(one.queue, one.priority)


def _age(one: Startable, now: datetime) -> timedelta:
    return now - (one.dispatched_at or now)


def _send(database: Database, messages: Messages, one: Startable, text: str) -> None:
    messages.send(_list(one), one.attempt_id, front=one.again)
    with database.write() as session:
        unit = Unit(session)
        job, attempt = unit.lock_attempt(one.attempt_id)
        if attempt.state != AttemptState.QUEUED:
            return
        attempt.dispatched_at = unit.now()
        attempt.dispatches += 1
        data = {"attempt": attempt.number, "queue": _list(one), "times": attempt.dispatches}
        unit.event(job, "dispatched", ACTOR, f"attempt {attempt.number} {text}", **data)
