"""Sends the notifications that are due, in a separate thread, so that a dead endpoint delays no other step."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, String, select, update
from sqlalchemy import cast as cast_sql
from sqlalchemy.orm import Session

from baton.domain.backoff import backoff
from baton.domain.notifications import NotificationKind
from service.db.engine import Database
from service.db.notification_table import IS_WAITING, NoticeState, Notification
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.notifications.sender import Sender
from service.reconciler.isolation import Isolation, Item, ready
from service.reconciler.leader_election import boot_clock

ACTOR, STEP = "conductor", "notifications"
BATCH = 20
LONGEST_WAIT = 3600.0
SAID = {
    NotificationKind.RECOVERING.value: "was recovering",
    NotificationKind.CANCELLED.value: "was cancelled",
    NotificationKind.OVERDUE.value: "got no checkpoint saved",
    NotificationKind.SILENT.value: "had a silent worker",
}
_draw = random.SystemRandom().random


@dataclass(frozen=True)
class DeliveryLimits:
    """Maximum number of tries per message, timeout of one try, and first backoff. Times in seconds."""

    tries: int
    timeout: float
    backoff: float


class Notifier:
    """Sends due messages, oldest first for each target. A failed message ends the turn of its target."""

    def __init__(
        self,
        database: Database,
        post: Sender,
        patience: DeliveryLimits,
        isolation: Isolation | None = None,
        draw: Callable[[], float] = _draw,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        """`clock`: in seconds, monotonic; it also runs while the host sleeps."""
        self._database, self._post, self._patience, self._draw, self._clock = database, post, patience, draw, clock
        self._isolation = isolation or Isolation(database)

    def send_due(self) -> None:
        """One pass."""
        with self._database.read() as session:
            targets = list(session.scalars(_due(Notification.target).distinct()))
        for target in targets:
            for number, job_id in self._waiting(target):
                if not self._handle(number, job_id):
                    break

    def _waiting(self, target: str) -> list[tuple[int, str]]:
        with self._database.read() as session:
            query = _due(Notification.number, Notification.job_id).where(Notification.target == target)
            rows = session.execute(query.order_by(Notification.next_at, Notification.number).limit(BATCH))
            return [(number, job_id) for number, job_id in rows]

    def _handle(self, number: int, job_id: str) -> bool:
        """Send one message. Returns whether the target may get the next one. A bad message does not stop the others."""
        taken = True

        def send(_key: str) -> None:
            nonlocal taken
            taken = self._send(number)

        self._isolation.each(STEP, [Item(str(number), job_id)], send)
        return taken

    def _send(self, number: int) -> bool:
        """Send a message. Returns False if it was not delivered. Also True if another replica sends it."""
        asked = self._clock()
        row = self._take(number)
        if row is None:
            return True
        if row.target not in self._post.names:
            return self._give_up(row, "no such target is configured any more")
        if row.tries > self._patience.tries:
            # All tries were started, but the process ended before it recorded the result of the last one.
            return self._give_up(row, "the service ended while it was sent")
        if self._clock() - asked > self._patience.timeout:
            # This process was suspended. The reservation may have ended, and another replica may have sent the message.
            return True
        problem = self._post.send(row.target, row.title, row.body, row.kind)
        if problem is None:
            self._end(row, NoticeState.SENT)
        elif row.tries == self._patience.tries:
            self._give_up(row, problem)
        else:
            self._put_off(row)
        return problem is None

    def _take(self, number: int) -> Notification | None:
        """Count a try before it starts, and reserve the message during the try, so that only one replica sends it."""
        with self._database.write() as session:
            row = session.get(Notification, number)
            # Each of three steps may take `timeout`: the start of the sending, the wait for the message before, the
            # answer.
            until = Unit(session).now() + timedelta(seconds=3 * self._patience.timeout)
            if row is None or not _changed(session, row, tries=row.tries + 1, next_at=until):
                return None
            session.refresh(row)
            return row

    def _put_off(self, row: Notification) -> None:
        wait = backoff(self._patience.backoff, row.tries, LONGEST_WAIT, self._draw())
        with self._database.write() as session:
            _changed(session, row, next_at=Unit(session).now() + timedelta(seconds=wait), due=False)

    def _end(self, row: Notification, state: NoticeState) -> bool:
        with self._database.write() as session:
            return _changed(session, row, state=state.value, ended_at=Unit(session).now(), due=False)

    def _give_up(self, row: Notification, problem: str) -> bool:
        """Mark the message as failed and write an event for the job's owner."""
        with self._database.write() as session:
            # Wait for the row lock, because the next pass would no longer have the text of this problem.
            unit = Unit(session)
            job = unit.lock_job(row.job_id, doomed=True)
            if _changed(session, row, state=NoticeState.FAILED.value, ended_at=unit.now(), due=False):
                tries = min(row.tries, self._patience.tries)
                said = SAID.get(row.kind, row.kind)
                text = f"{row.target} got no message that the job {said} (tries: {tries}): {problem}"
                data = {"target": row.target, "notification": row.kind, "count": row.count, "tries": tries}
                unit.event(job, "notification_failed", ACTOR, text, **data)
        return False


def _due(*columns: Any) -> Any:
    key = cast_sql(Notification.number, String)
    return select(*columns).where(IS_WAITING, Notification.next_at <= db_now(), ready(STEP, key))


def _changed(session: Session, row: Notification, *, due: bool = True, **values: Any) -> bool:
    """Update the row if it has not changed since it was read. `due`: only if due. Returns whether it was updated."""
    query = update(Notification).where(
        Notification.number == row.number, Notification.state == NoticeState.WAITING, Notification.tries == row.tries
    )
    if due:
        query = query.where(Notification.next_at <= db_now())
    found = session.execute(query.values(**values), execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", found).rowcount == 1
