"""Which queued attempts may be claimed now, the most urgent first: what is sent, offered and granted agree on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, case, select
from sqlalchemy.orm import Session

from core.domain.queues import PRIORITIES
from core.domain.states import HELD_ATTEMPTS, AttemptState, DesiredState
from service.control.limits import Limits, Place
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Job
from service.db.types import db_now
from service.db.unit import Unit

URGENCY = case({name: rank for rank, name in enumerate(PRIORITIES)}, value=Job.priority)
# A job that ran before goes on before another begins: its checkpoints, and its owner, wait.
ORDER = (URGENCY, Attempt.number == 1, Job.number)


@dataclass(frozen=True)
class Startable:
    """A queued attempt that may be claimed now. `again`: its job ran before; `needs`: extensions.

    `spec_version`: the lowest version of the spec that its worker must understand.
    """

    attempt_id: str
    queue: str
    priority: str
    again: bool
    needs: frozenset[str]
    spec_version: int
    dispatched_at: datetime | None


def startable(session: Session, limits: Limits, queues: Collection[str] | None = None) -> Iterator[Startable]:
    """No more than there are places for: each takes its own from those that follow. `queues`: None for all."""
    taken = occupied(session, limits)
    full = [place.name for place, count in taken.items() if place.kind == "queue" and count >= place.most]
    query = _queued().where(Job.queue.not_in(full))
    if queues is not None:
        query = query.where(Job.queue.in_(list(queues)))
    for row in session.execute(query):
        places = limits.places(row.queue, row.labels)
        if _full(places, taken) is None:
            taken.update(places)
            yield _startable(row)


def _queued() -> Select[Any]:
    of_job = (Job.queue, Job.priority, Job.labels, Job.needs, Job.spec_version)
    columns = (Attempt.id, Attempt.number, Attempt.dispatched_at, *of_job)
    waits = (IS_LIVE, Attempt.state == AttemptState.QUEUED, Attempt.not_before <= db_now())
    return select(*columns).join(Job).where(*waits, Job.desired == DesiredState.RUN).order_by(*ORDER)


def _startable(row: Row[Any]) -> Startable:
    needs = frozenset(row.needs)
    return Startable(row.id, row.queue, row.priority, row.number > 1, needs, row.spec_version, row.dispatched_at)


def occupied(session: Session, limits: Limits) -> Counter[Place]:
    """How many attempts are held in each place that has a limit; those that hold none are left out."""
    taken: Counter[Place] = Counter()
    if limits:
        query = select(Job.queue, Job.labels).join(Attempt).where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS))
        for queue, labels in session.execute(query):
            taken.update(limits.places(queue, labels))
    return taken


def full(unit: Unit, limits: Limits, job: Job) -> Place | None:
    """What has no place for another attempt of the job. Nobody else takes one until this transaction ends.

    To be asked with the job's row held, and before any row but that: so no two wait for each other.
    """
    places = limits.places(job.queue, job.labels)
    if not places:
        return None
    unit.lock_names(str(place) for place in places)
    return _full(places, occupied(unit.session, limits))


def _full(places: Collection[Place], taken: Counter[Place]) -> Place | None:
    return next((place for place in places if taken[place] >= place.most), None)
