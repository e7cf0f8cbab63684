"""How many workers a queue could use now: what an autoscaler asks for."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select

from core.domain.states import HELD_ATTEMPTS
from core.domain.views import QueueView
from service.control.limits import Limits
from service.control.startable import startable
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Job
from service.db.unit import Unit


def demand(unit: Unit, queue: str, limits: Limits, *, extensions: Collection[str], workers: str) -> QueueView:
    """The demand of a queue for workers with these extensions, whose names begin with `workers`."""
    waiting = sum(one.needs <= set(extensions) for one in startable(unit.session, limits, [queue]))
    held = _held(unit, queue, workers)
    return QueueView(queue=queue, waiting=waiting, held=held, wanted=waiting + held)


def _held(unit: Unit, queue: str, workers: str) -> int:
    query = select(func.count()).select_from(Attempt).join(Job)
    where = (IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Job.queue == queue)
    return unit.session.scalar(query.where(*where, Attempt.worker.startswith(workers, autoescape=True))) or 0
