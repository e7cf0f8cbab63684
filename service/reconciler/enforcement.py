"""The quick steps of a pass: leases, orders, repairs. Each step is safe to repeat at any time.

A step that measures time first reads its rows. Then the lease guard compares the clocks (`look`). Then the step changes
only rows that have not changed since the read. With another order, a new lease or order could appear old after a change
of the clock: docs/decisions/0028-leases-and-outages.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from baton.domain.states import HELD_ATTEMPTS, TERMINAL_JOBS, AttemptState, DesiredState, JobState
from baton.domain.uptime import Served
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.reconciler.isolation import Isolation, Item, ready
from service.usecases import attempt_outcomes, job_control, leases, limit_enforcement, run_limits
from service.usecases.attempt_outcomes import Lease, OrderTimeouts
from service.usecases.attempt_queue import queue_attempt

ACTOR = "conductor"
BATCH = 1000
LOOKED_AT = 200
"""Jobs of each state that one pass of `Repairs` checks. The next pass continues after them."""

EXPIRY, ORDERS, LIMITS, REPAIR = "expiry", "orders", "limits", "repair"
Look = Callable[[], Served]
"""Compares the clocks now: `LeaseGuard.look`."""

log = logging.getLogger(__name__)


def expire_leases(
    database: Database, isolation: Isolation | None = None, look: Look | None = None, seconds: float = 0.0
) -> None:
    """End attempts whose lease of `seconds` has expired. After an outage of the service, renew their leases instead.

    Without `look`, only the database's clock decides. Leave `look` out only if the service had no outage.
    """
    isolation = isolation or Isolation(database)
    with database.read() as session:
        now = Unit(session).now()
        seen = {row.id: row for row in session.execute(_expired(now))}
    lease = Lease(look() if look else Served(now, now), seconds)
    if not lease.served.has_served(seconds):
        with database.write() as session:
            renewed = leases.renew_after_outage(session, lease.served, seconds)
        if renewed:
            log.warning("leases: %d were renewed after an outage of the service", renewed)
    over = [row for row in seen.values() if lease.served.over(row.lease_expires_at, row.heard, seconds)]

    def end(unit: Unit, key: str) -> None:
        attempt_outcomes.expire(unit, key, ACTOR, lease, seen[key].lease_expires_at)

    isolation.each(EXPIRY, [Item(row.id, row.job_id) for row in over], _each(database, end))


def _expired(now: datetime) -> Select[*tuple[Any, ...]]:
    held = (IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Attempt.lease_expires_at <= now)
    heard = func.coalesce(Attempt.beat_at, Attempt.claimed_at).label("heard")
    query = select(Attempt.id, Attempt.job_id, Attempt.lease_expires_at, heard).where(*held)
    return query.where(ready(EXPIRY, Attempt.id)).order_by(Attempt.lease_expires_at).limit(BATCH)


def enforce_orders(database: Database, isolation: Isolation, look: Look, patience: OrderTimeouts) -> None:
    """End attempts whose workers did not carry out a pause or a cancellation in time."""
    with database.read() as session:
        now = Unit(session).now()
        # Start from the attempts, not from the jobs: few attempts are held, but the cancelled jobs only become more.
        wanted = exists().where(Job.id == Attempt.job_id, Job.desired != DesiredState.RUN, _due(now, patience))
        held = (IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS))
        since = select(Job.desired_at).where(Job.id == Attempt.job_id).scalar_subquery().label("since")
        query = select(Attempt.id, Attempt.job_id, since).where(*held, wanted, ready(ORDERS, Attempt.id))
        seen = {row.id: row for row in session.execute(query.limit(BATCH))}
    served = look()

    def end(unit: Unit, key: str) -> None:
        attempt_outcomes.overrule(unit, key, ACTOR, served, patience, seen[key].since)

    isolation.each(ORDERS, [Item(row.id, row.job_id) for row in seen.values()], _each(database, end))


def _due(now: datetime, patience: OrderTimeouts) -> ColumnElement[bool]:
    """Whether a job's order is old enough to be checked. An order without a recorded time is always checked."""
    late = [
        (Job.desired == desired) & (Job.desired_at <= now - timedelta(seconds=patience.of(desired)))
        for desired in (DesiredState.CANCEL, DesiredState.PAUSE)
    ]
    return or_(Job.desired_at.is_(None), Job.desired_at > now + attempt_outcomes.SET_BACK, *late)


def enforce_limits(database: Database, isolation: Isolation, look: Look, patience: float) -> None:
    """Pause jobs that are still held `patience` seconds after a limit, and those whose limit was lowered meanwhile."""
    with database.read() as session:
        rows = session.execute(run_limits.held_with_limit().where(ready(LIMITS, Attempt.id))).all()
    served = look()
    over = [Item(row[0], row[1]) for row in rows if run_limits.may_be_reached(row, served.now)]
    act = _each(database, lambda unit, key: limit_enforcement.enforce(unit, key, ACTOR, served, patience))
    isolation.each(LIMITS, over, act)


def _each(database: Database, act: Callable[[Unit, str], object]) -> Callable[[str], None]:
    """Run `act` for each item in a separate transaction that does not wait for locked rows."""

    def run(key: str) -> None:
        with database.write() as session:
            act(Unit(session, wait=False), key)

    return run


def settle(database: Database, isolation: Isolation | None = None) -> None:
    """The first pass of `Repairs`."""
    Repairs(database, isolation or Isolation(database)).run()


class Repairs:
    """Repairs jobs that have no held attempt: starts an attempt, or completes a pause or an end.

    Normal transitions leave nothing to repair. Only a bug or a manual change of the database causes such jobs. A pass
    checks a few jobs of each state, and the next pass continues after them, so the cost of a pass is bounded.
    """

    def __init__(self, database: Database, isolation: Isolation, looked_at: int = LOOKED_AT) -> None:
        self._database, self._isolation, self._looked_at = database, isolation, looked_at
        self._last: dict[JobState, int] = {}

    def run(self) -> None:
        """One pass."""
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.RECOVERING, JobState.PAUSED):
            with self._database.read() as session:
                found = self._find(session, state)
            self._isolation.each(REPAIR, found, _each(self._database, _repair))

    def _find(self, session: Session, state: JobState) -> list[Item]:
        part = select(Job.number).where(Job.state == state, Job.number > self._last.get(state, 0))
        numbers = list(session.scalars(part.order_by(Job.number).limit(self._looked_at)))
        self._last[state] = numbers[-1] if len(numbers) == self._looked_at else 0
        if not numbers:
            return []
        query = select(Job.id).where(Job.state == state, Job.number.between(numbers[0], numbers[-1]))
        return [Item(job_id, job_id) for job_id in session.scalars(query.where(_at_odds(), ready(REPAIR, Job.id)))]


def _at_odds() -> ColumnElement[bool]:
    """Jobs to repair: jobs without a live attempt that are not paused, and jobs that must not run but are queued."""
    live = exists().where(Attempt.job_id == Job.id, IS_LIVE)
    unclaimed = exists().where(Attempt.job_id == Job.id, IS_LIVE, Attempt.state == AttemptState.QUEUED)
    at_rest = (Job.state == JobState.PAUSED) & (Job.desired == DesiredState.PAUSE)
    return ~at_rest & (~live | (unclaimed & (Job.desired != DesiredState.RUN)))


def _repair(unit: Unit, job_id: str) -> None:
    job = unit.lock_job(job_id, doomed=True)
    if job.state in TERMINAL_JOBS or (job.state == JobState.PAUSED and job.desired == DesiredState.PAUSE):
        return
    if job.desired != DesiredState.RUN:
        job_control.settle(unit, job, ACTOR)
    elif job.state in (JobState.QUEUED, JobState.RECOVERING) and unit.live_attempt(job) is None:
        queue_attempt(unit, job, after=0.0, actor=ACTOR)
