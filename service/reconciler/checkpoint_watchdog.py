"""Detects overdue checkpoints: a running job without a recent commit gets an event and a status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from baton.domain.checkpoint_cadence import checkpoint_overdue
from baton.domain.notifications import NotificationKind
from baton.domain.states import AttemptState
from baton.domain.store_identity import Trouble
from baton.domain.uptime import Served
from baton.domain.wire import CheckpointRole, Phase
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.tables import Attempt, Checkpoint, Job, Pointer
from service.db.unit_of_work import Unit
from service.reconciler.isolation import Isolation, Item, ready
from service.usecases.notifications import notify_once
from service.usecases.store_troubles import trouble_of

ACTOR, STEP = "conductor", "checkpoints"
BATCH = 1_000
# The phases in which checkpoints are due. Before the first step and during the evaluation, none is due.
SAVES = (Phase.TRAINING.value, Phase.VALIDATING.value)


@dataclass(frozen=True)
class _Training:
    """An attempt that should commit checkpoints. Times are from the database's clock. `interval` in seconds."""

    attempt_id: str
    job_id: str
    interval: float | None
    begun: datetime
    committed: datetime | None

    def age(self, now: datetime) -> float:
        """Seconds since the last commit or the start of training, whichever is later."""
        return (now - max(self.begun, self.committed or self.begun)).total_seconds()

    def overdue(self, served: Served) -> bool:
        """Whether the last commit is too old. Time before the end of the service's last outage does not count."""
        since = (served.now - served.since).total_seconds()
        return checkpoint_overdue(min(self.age(served.now), since), self.interval)


def watch_checkpoints(database: Database, isolation: Isolation, look: Callable[[], Served]) -> None:
    """Write `checkpoint_overdue` for each job whose checkpoint is overdue, once until the next commit.

    `look` compares the clocks: `LeaseGuard.look`.
    """
    last = ""
    while True:
        # Read before the clocks are compared, as in service.reconciler.enforcement.
        with database.read() as session:
            now = Unit(session).now()
            found = _training(session, Attempt.id > last, ready(STEP, Attempt.id))
        served = replace(look(), now=now)
        late = {one.attempt_id: one for one in found if one.overdue(served)}
        items = [Item(one.attempt_id, one.job_id) for one in late.values()]
        isolation.each(STEP, items, lambda key, late=late, served=served: _report(database, late[key], served))  # type: ignore[misc]
        if len(found) < BATCH:
            return
        last = found[-1].attempt_id


def _training(session: Session, *conditions: ColumnElement[bool]) -> list[_Training]:
    latest = and_(Pointer.job_id == Attempt.job_id, Pointer.role == CheckpointRole.LATEST.value)
    begun = func.coalesce(Attempt.started_at, Attempt.claimed_at)
    query = (
        select(Attempt.id, Attempt.job_id, Attempt.interval_seconds, begun, Checkpoint.committed_at)
        .join(Job, Job.id == Attempt.job_id)
        .outerjoin(Pointer, latest)
        .outerjoin(Checkpoint, Checkpoint.id == Pointer.checkpoint_id)
        .where(IS_LIVE, Attempt.state == AttemptState.RUNNING, Attempt.phase.in_(SAVES), Job.overdue_since.is_(None))
    )
    query = query.where(*conditions).order_by(Attempt.id).limit(BATCH)
    return [_Training(*row) for row in session.execute(query)]


def _report(database: Database, seen: _Training, served: Served) -> None:
    with database.write() as session:
        unit = Unit(session, wait=False)
        job, attempt = unit.lock_attempt(seen.attempt_id)
        for one in _training(session, Attempt.id == seen.attempt_id):
            if (one.begun, one.committed) == (seen.begun, seen.committed) and one.overdue(served):
                job.overdue_since = unit.now()
                age = one.age(served.now)
                data = {"attempt": attempt.number, "age_seconds": age, "interval_seconds": one.interval}
                text = _text(one, age, trouble_of(attempt))
                unit.event(job, "checkpoint_overdue", ACTOR, text, **data)
                notify_once(unit, job, NotificationKind.OVERDUE, attempt.number, text)


def _text(one: _Training, age: float, trouble: Trouble | None) -> str:
    why = f"the worker tries again; {trouble}" if trouble else "it has reported no failure; a save may hang"
    return (
        f"no checkpoint was committed for {age:.0f} s; one is due every {one.interval or 0:.0f} s. Training "
        f"continues, and {why}"
    )
