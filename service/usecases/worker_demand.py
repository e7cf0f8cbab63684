"""The number of workers that a queue could use now, for autoscalers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from sqlalchemy import func, select

from baton.domain.states import HELD_ATTEMPTS
from baton.domain.views import QueueView
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.usecases.attempt_limits import Limits, Place
from service.usecases.project_quotas import with_quotas
from service.usecases.queue_backlog import Line, count, lines
from service.usecases.startable_attempts import occupied, room

MOST = 10_000
"""Each line counts at most this number, because no autoscaler starts more workers together."""


def demand(unit: Unit, queue: str, limits: Limits, *, extensions: Collection[str], workers: str) -> QueueView:
    """The demand of a queue for workers with these extensions, whose names begin with `workers`."""
    session = unit.session
    limits = with_quotas(session, limits)
    own = (line for line in lines(session, limits, [queue]) if unit.sees(line.project))
    fit = [line for line in own if line.required.met_by(extensions)]
    counted = [(line, count(session, line, room(line.places, Counter(), MOST))) for line in fit]
    waiting = sum(number for _, number in may_start(counted, occupied(session, limits)))
    held = _held(unit, queue, workers)
    return QueueView(queue=queue, waiting=waiting, held=held, wanted=waiting + held)


def may_start(counted: Iterable[tuple[Line, int]], taken: Counter[Place]) -> list[tuple[Line, int]]:
    """How many attempts of each line may start under the limits. More urgent lines take free places first."""
    found = []
    for line, number in sorted(counted, key=lambda one: (one[0].urgency, one[0].head.job_number)):
        start = room(line.places, taken, number)
        taken.update(dict.fromkeys(line.places, start))
        found.append((line, start))
    return found


def _held(unit: Unit, queue: str, workers: str) -> int:
    query = select(func.count()).select_from(Attempt).join(Job)
    query = query.where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Job.queue == queue, *unit.own(Job.project))
    return unit.session.scalar(query.where(Attempt.worker.startswith(workers, autoescape=True))) or 0
