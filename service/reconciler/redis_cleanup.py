"""Removes unreferenced keys from Redis in small steps: leftovers of killed processes and of older releases."""

from __future__ import annotations

from sqlalchemy import select

from baton.domain.states import LIVE_ATTEMPTS
from service.db.engine import Database
from service.db.tables import Attempt
from service.reconciler.dispatch import READ, remove_strays
from service.reconciler.isolation import Isolation, Item
from service.reconciler.rq_dispatch import AWAY, RqMessages

STEP = "redis"
KEYS = 200
"""Approximate number of Redis keys, including foreign ones, that one run reads."""

LISTS, MEMBERS = 20, 200
EVERY_SECONDS = 10.0


class RedisCleanup:
    """Scans Redis in small steps, in an endless loop. Touches only keys with Baton's names."""

    def __init__(self, database: Database, messages: RqMessages, isolation: Isolation) -> None:
        self._database, self._messages, self._isolation = database, messages, isolation
        self._records = self._lists = 0

    def run(self) -> None:
        """One step. Raises the errors of an unavailable Redis or database."""
        self._records, records = self._messages.scan_records(self._records, KEYS)
        self._sweep_records(records)
        self._lists, lists = self._messages.scan_lists(self._lists, LISTS)
        self._isolation.each(STEP, map(Item, lists), self._sweep_list, ends=AWAY)

    def _sweep_records(self, attempt_ids: list[str]) -> None:
        if not attempt_ids:
            return
        with self._database.read() as session:
            query = select(Attempt.id, Attempt.state).where(Attempt.id.in_(attempt_ids))
            states = {row.id: row.state for row in session.execute(query)}
        # Keep the keys of attempts that are not in this database, because they may belong to another application.
        self._messages.forget([one for one, state in states.items() if state not in LIVE_ATTEMPTS])
        self._messages.expire([one for one, state in states.items() if state in LIVE_ATTEMPTS])

    def _sweep_list(self, name: str) -> None:
        remove_strays(self._database, self._messages, name, self._messages.entries(name, READ))
        self._messages.sweep_list(name, MEMBERS)
