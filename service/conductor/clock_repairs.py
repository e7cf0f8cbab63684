"""Repairs waits whose end is too far in the future because the database's clock was set back."""

from __future__ import annotations

from sqlalchemy import update

from service.conductor.lease_guard import LeaseGuard
from service.db.base import IS_UNPLACED
from service.db.engine import Database
from service.db.notices import IS_WAITING, Notification
from service.db.tables import Attempt
from service.db.unit import Unit


class ClockRepairs:
    """Makes backoffs and notifications due after the lease guard has detected a clock change.

    This also shortens correct waits. The cost is one early retry; without it, a clock set back by an hour adds an hour.
    """

    def __init__(self, database: Database, guard: LeaseGuard) -> None:
        self._database, self._guard = database, guard
        self._handled = 0

    def run(self) -> None:
        """One pass. The next pass repeats a step that failed."""
        seen = self._guard.clock_sets
        if seen == self._handled:
            return
        with self._database.write() as session:
            now = Unit(session).now()
            ahead = (IS_UNPLACED, Attempt.not_before > now)
            session.execute(update(Attempt).where(*ahead).values(not_before=now))
            session.execute(update(Notification).where(IS_WAITING, Notification.next_at > now).values(next_at=now))
        self._handled = seen
