"""Reports silent workers before their leases expire, so that the owners of the jobs know early."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from core.domain.notices import Notice
from core.domain.outages import Served
from core.domain.states import HELD_ATTEMPTS
from service.conductor.isolation import Isolation, Item, ready
from service.control.notices import tell_once
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.tables import Attempt
from service.db.unit import Unit

ACTOR, STEP = "conductor", "silence"
BATCH = 1_000


class Silence:
    """Writes `worker_silent` once per silence. `lease` and `heartbeat` in seconds."""

    def __init__(self, database: Database, isolation: Isolation, lease: float, heartbeat: float) -> None:
        self._database, self._isolation, self._lease = database, isolation, lease
        self._seconds = max(2 * heartbeat, lease / 2)

    def run(self, served: Served) -> None:
        """One pass. Outages of the service do not count as silence."""
        if self._seconds >= self._lease or not served.has_served(self._seconds):
            return
        latest = served.now + timedelta(seconds=self._lease - self._seconds)
        between = (Attempt.lease_expires_at > served.now, Attempt.lease_expires_at <= latest)
        silent = (IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), Attempt.silent_since.is_(None), *between)
        query = select(Attempt.id, Attempt.job_id).where(*silent, ready(STEP, Attempt.id)).limit(BATCH)
        with self._database.read() as session:
            items = [Item(key, job_id) for key, job_id in session.execute(query)]
        self._isolation.each(STEP, items, lambda key: self._note(key, served))

    def _note(self, attempt_id: str, served: Served) -> None:
        with self._database.write() as session:
            unit = Unit(session, wait=False)
            job, attempt = unit.lock_attempt(attempt_id)
            heard = self._heard(attempt)
            if attempt.state not in HELD_ATTEMPTS or attempt.silent_since is not None or heard is None:
                return
            silent, left = (served.now - heard).total_seconds(), (heard - served.now).total_seconds() + self._lease
            if silent < self._seconds or left <= 0:
                return
            attempt.silent_since = heard
            text = f"worker {attempt.worker} was not heard of for {silent:.0f} s; its lease ends in {left:.0f} s"
            data = {"attempt": attempt.number, "silent_seconds": silent, "lease_seconds": left}
            unit.event(job, "worker_silent", ACTOR, text, **data)
            tell_once(unit, job, Notice.SILENT, attempt.number, text)

    def _heard(self, attempt: Attempt) -> datetime | None:
        """Time of the last heartbeat, or of the service's return if that is later (it then renews leases)."""
        if attempt.lease_expires_at is None:
            return None
        renewed = attempt.lease_expires_at - timedelta(seconds=self._lease)
        return max(renewed, attempt.beat_at or renewed)
