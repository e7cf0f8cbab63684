"""Repairs waits whose end is too far in the future because the database's clock was set back."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, TextClause, select, update

from service.db.base import IS_UNPLACED
from service.db.engine import Database
from service.db.notification_table import IS_WAITING, Notification
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.reconciler.lease_guard import LeaseGuard

BATCH = 1_000


class ClockRepairs:
    """Makes backoffs and notifications due after the lease guard has detected a clock change.

    This also shortens correct waits, which costs one early retry. Without the repair, a clock that is set back by an
    hour would add an hour to each wait.
    """

    def __init__(self, database: Database, guard: LeaseGuard) -> None:
        self._database, self._guard = database, guard
        self._handled = 0

    def run(self) -> None:
        """One pass. The next pass repeats a step that failed."""
        seen = self._guard.clock_sets
        if seen == self._handled:
            return
        for column, key, waits in (
            (Attempt.not_before, Attempt.id, IS_UNPLACED),
            (Notification.next_at, Notification.number, IS_WAITING),
        ):
            while self._make_due(column, key, waits) == BATCH:
                pass
        self._handled = seen

    def _make_due(self, column: Any, key: Any, waits: TextClause) -> int:
        """Handle at most BATCH rows in one transaction, so that other writers wait only briefly. Returns the number."""
        with self._database.write() as session:
            now = Unit(session).now()
            some = select(key).where(waits, column > now).limit(BATCH)
            query = update(column.class_).where(key.in_(some)).values({column.key: now})
            changed = session.execute(query, execution_options={"synchronize_session": False})
            return cast("CursorResult[Any]", changed).rowcount
