"""Numbers from the database, equal at all replicas. The cost of the queries does not grow with ended jobs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from baton.domain.goodput import Bucket
from baton.domain.lenient_reading import mapping, number_or
from baton.domain.states import (
    ACTIVE_JOBS,
    HELD_ATTEMPTS,
    DesiredState,
    JobState,
    WorkerState,
    shown_status,
)
from service.db.base import IS_LIVE, IS_UNPLACED, IS_WAITING
from service.db.operation_tables import PassFailure
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.metrics.cleanup_backlog import backlog
from service.metrics.counters import STEPS
from service.usecases import attempt_totals, goodput, workers
from service.usecases.attempt_limits import Limits
from service.usecases.project_quotas import with_quotas
from service.usecases.queue_backlog import LINE, Key, lines
from service.usecases.startable_attempts import occupied
from service.usecases.worker_demand import may_start

QUEUES = 100
"""At most this many queues, the busiest ones, have their own label. All other queues share the label OTHERS."""

OTHERS = "(others)"
LIVE_JOBS = 500
"""Seconds by bucket are computed only for this many jobs: the newest jobs that have not ended."""

STATUSES = ("queued", "running", "recovering", "pausing", "paused", "cancelling")
WORKERS = tuple(state.value for state in WorkerState)


@dataclass
class Queue:
    """One queue. `queued`: attempts that wait. `waiting`: those that may start now. `held`: attempts that workers hold.

    `oldest`: seconds since the oldest waiting attempt could have started. `remaining`: estimated seconds of all running
    jobs. `overdue`: running jobs whose newest checkpoint is overdue.
    """

    queued: int = 0
    waiting: int = 0
    held: int = 0
    oldest: float = 0.0
    images_per_second: float = 0.0
    remaining: float = 0.0
    overdue: int = 0

    def add(self, other: Queue) -> None:
        """Add the numbers of another queue."""
        for name, value in vars(other).items():
            setattr(self, name, max(self.oldest, value) if name == "oldest" else getattr(self, name) + value)


@dataclass(frozen=True)
class Rows:
    """The results of one read. `seconds`: by bucket, for jobs that have not ended.

    `failing`: items that a reconciler step could not handle and tries again, by step. `backlog`: rows that wait for
    garbage collection or publishing, by kind.
    """

    jobs: Mapping[str, int]
    workers: Mapping[str, int]
    queues: Mapping[str, Queue]
    seconds: Mapping[str, float] = field(default_factory=dict)
    failing: Mapping[str, float] = field(default_factory=dict)
    backlog: Mapping[str, int] = field(default_factory=dict)


def read(unit: Unit, limits: Limits, lost_after: float) -> Rows:
    """Read all numbers in one transaction."""
    now = unit.now()
    queues, seconds = few(_queues(unit, limits, now)), _seconds(unit, now)
    return Rows(_jobs(unit), _workers(unit, lost_after), queues, seconds, _failing(unit), backlog(unit))


def _failing(unit: Unit) -> dict[str, float]:
    query = select(PassFailure.step, func.count()).group_by(PassFailure.step)
    return {**dict.fromkeys(STEPS, 0.0), **{step: float(count) for step, count in unit.session.execute(query)}}


def _jobs(unit: Unit) -> dict[str, int]:
    found = dict.fromkeys(STATUSES, 0)
    query = select(Job.state, Job.desired, func.count()).where(Job.state.in_([*ACTIVE_JOBS]))
    for state, desired, count in unit.session.execute(query.group_by(Job.state, Job.desired)):
        found[shown_status(JobState(state), DesiredState(desired))] += count
    return found


def _workers(unit: Unit, lost_after: float) -> dict[str, int]:
    return {**dict.fromkeys(WORKERS, 0), **Counter(one.state for one in workers.list_workers(unit, lost_after))}


def _queues(unit: Unit, limits: Limits, now: datetime) -> dict[str, Queue]:
    found: defaultdict[str, Queue] = defaultdict(Queue)
    _count_placed(unit, limits, found, now)
    unplaced = select(func.coalesce(Attempt.queue, OTHERS), func.count()).where(IS_UNPLACED).group_by(Attempt.queue)
    for name, number in unit.session.execute(unplaced):
        found[name].queued += number
    _add_what_runs(unit, found)
    return found


def _count_placed(unit: Unit, limits: Limits, found: defaultdict[str, Queue], now: datetime) -> None:
    """Count the attempts that are not in a backoff, using only the index."""
    query: Select[Any] = select(*LINE, func.count(), func.min(Attempt.not_before)).where(IS_WAITING).group_by(*LINE)
    numbers: Counter[Key] = Counter()
    for name, *rest, number, since in unit.session.execute(query):
        numbers[name, *rest] = number
        found[name].queued += number
        found[name].oldest = max(found[name].oldest, (now - since).total_seconds())
    session, limits = unit.session, with_quotas(unit.session, limits)
    counted = [(one, 1 if one.alone else numbers[one.key]) for one in lines(session, limits)]
    for one, number in may_start(counted, occupied(session, limits)):
        found[one.queue].waiting += number


def _add_what_runs(unit: Unit, found: defaultdict[str, Queue]) -> None:
    query = select(Job.queue, Job.progress, Job.overdue_since).select_from(Attempt).join(Job)
    for name, progress, overdue in unit.session.execute(query.where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS))):
        reported = mapping(progress)
        found[name].held += 1
        found[name].images_per_second += _real(reported.get("images_per_second"))
        found[name].remaining += _real(reported.get("eta_seconds"))
        found[name].overdue += overdue is not None


def _real(value: Any) -> float:
    """The value as a number. Rows have NaN as text, and None if nothing was reported: both count as 0."""
    number = number_or(value)
    return number if math.isfinite(number) else 0.0


def few(queues: Mapping[str, Queue]) -> dict[str, Queue]:
    """At most QUEUES queues, because users choose the names. The numbers of all other queues are summed."""
    busiest = sorted(queues.items(), key=lambda item: (-item[1].queued - item[1].held, item[0]))
    found = dict(busiest[:QUEUES])
    if len(busiest) > QUEUES:
        found[OTHERS] = _sum(queue for _, queue in busiest[QUEUES:])
    return found


def _sum(queues: Iterable[Queue]) -> Queue:
    found = Queue()
    for one in queues:
        found.add(one)
    return found


def _seconds(unit: Unit, now: datetime) -> dict[str, float]:
    query = select(Job).where(Job.state.in_([*ACTIVE_JOBS])).order_by(Job.number.desc()).limit(LIVE_JOBS)
    jobs = list(unit.session.scalars(query))
    newest = attempt_totals.newest_attempts(unit, [job.id for job in jobs])
    spent = attempt_totals.of_jobs(unit, jobs, newest)
    each = [goodput.of_job(job, spent[job.id].seconds, newest.get(job.id), now) for job in jobs]
    return {bucket.value: sum(one[bucket.value] for one in each) for bucket in Bucket}
