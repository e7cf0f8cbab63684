"""Reports silent workers before their leases expire, so that the owners of the jobs know early."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, select

from baton.domain.notifications import NotificationKind
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.uptime import Served
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.reconciler.isolation import Isolation, Item, ready
from service.usecases.notifications import notify_once

ACTOR, STEP = "conductor", "silence"
BATCH = 1_000


class SilentWorkers:
    """Writes `worker_silent` once per silence. `lease` and `heartbeat` in seconds."""

    def __init__(self, database: Database, isolation: Isolation, lease: float, heartbeat: float) -> None:
        self._database, self._isolation, self._lease = database, isolation, lease
        self._seconds = max(2 * heartbeat, lease / 2)

    def run(self, look: Callable[[], Served]) -> None:
        """One pass. Outages of the service do not count as silence. `look`: `LeaseGuard.look`, compares the clocks."""
        if self._seconds >= self._lease:
            return
        # Read before the clocks are compared, as in service.reconciler.enforcement.
        with self._database.read() as session:
            seen = {row.id: row for row in session.execute(self._silent(Unit(session).now()))}
        served = look()
        if not served.has_served(self._seconds):
            return
        items = [Item(row.id, row.job_id) for row in seen.values()]
        self._isolation.each(STEP, items, lambda key: self._note(key, served, seen[key].lease_expires_at))

    def _silent(self, now: datetime) -> Select[*tuple[Any, ...]]:
        latest = now + timedelta(seconds=self._lease - self._seconds)
        between = (Attempt.lease_expires_at > now, Attempt.lease_expires_at <= latest)
        silent = (IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Attempt.silent_since.is_(None), *between)
        query = select(Attempt.id, Attempt.job_id, Attempt.lease_expires_at)
        return query.where(*silent, ready(STEP, Attempt.id)).limit(BATCH)

    def _note(self, attempt_id: str, served: Served, seen: datetime) -> None:
        with self._database.write() as session:
            unit = Unit(session, wait=False)
            job, attempt = unit.lock_attempt(attempt_id)
            heard = self._heard(attempt)
            if attempt.state not in HELD_ATTEMPTS or attempt.silent_since is not None or heard is None:
                return
            silent, left = (served.now - heard).total_seconds(), (heard - served.now).total_seconds() + self._lease
            if attempt.lease_expires_at != seen or silent < self._seconds or left <= 0:
                return
            attempt.silent_since = heard
            text = f"worker {attempt.worker} sent no heartbeat for {silent:.0f} s; its lease ends in {left:.0f} s"
            data = {"attempt": attempt.number, "silent_seconds": silent, "lease_seconds": left}
            unit.event(job, "worker_silent", ACTOR, text, **data)
            notify_once(unit, job, NotificationKind.SILENT, attempt.number, text)

    def _heard(self, attempt: Attempt) -> datetime | None:
        """Time of the last heartbeat, or of the end of a later outage of the service, because it renews leases then."""
        if attempt.lease_expires_at is None:
            return None
        renewed = attempt.lease_expires_at - timedelta(seconds=self._lease)
        return max(renewed, attempt.beat_at or renewed)
