"""Handles the items of a step one by one: the failure of one item keeps no other item from being handled.

An item that failed gets a row in `pass_failures` with its error and the time of its next try (exponential backoff).
A step excludes such items in its own query, so that they take no place in a batch that is bounded by LIMIT.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import InstrumentedAttribute

from core.domain.backoff import backoff
from service.db.away import away, busy
from service.db.engine import Database
from service.db.operations import PassFailure
from service.db.types import db_now
from service.db.unit import Unit, clean
from service.errors import NotFound

ACTOR = "conductor"
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 600.0
MAX_ERROR = 2_000
EVENT = "item_failed"
log = logging.getLogger(__name__)
_draw = random.SystemRandom().random


@dataclass(frozen=True)
class Item:
    """What a step handles. `key`: id of the row or name of the object; `job_id`: whose it is, where that is known."""

    key: str
    job_id: str | None = None


class Isolation:
    """Runs steps item by item. `failed` is told the name of the step each time that an item fails."""

    def __init__(self, database: Database, failed: Callable[[str], None] = lambda _step: None) -> None:
        self._database, self._failed = database, failed

    def each(self, step: str, items: Iterable[Item], act: Callable[[str], object]) -> None:
        """Call `act(item.key)` for each item. What it raises is recorded and does not end the loop.

        Raises what says that the database itself is away: then no item is at fault, and the step ends.
        """
        due = list(items)
        known = self._known(step, [item.key for item in due])
        for item in due:
            try:
                act(item.key)
            except Exception as error:
                if busy(error):
                    continue  # another transaction holds the row: the next pass comes soon
                if away(error):
                    raise
                self._record(step, item, error)
            else:
                if item.key in known:
                    self._forget(step, item.key)

    def _known(self, step: str, keys: Sequence[str]) -> set[str]:
        if not keys:
            return set()
        query = select(PassFailure.item).where(PassFailure.step == step, PassFailure.item.in_(keys))
        with self._database.read() as session:
            return set(session.scalars(query))

    def _record(self, step: str, item: Item, error: Exception) -> None:
        self._failed(step)
        text = clean(f"{type(error).__name__}: {error}")[:MAX_ERROR]
        with self._database.write() as session:
            now = Unit(session).now()  # asked first: a later query would flush a row that is not complete
            row = session.get(PassFailure, (step, item.key))
            if row is None:
                row = PassFailure(step=step, item=item.key, job_id=item.job_id, tries=0, first_at=now)
                session.add(row)
            row.tries, row.error = row.tries + 1, text
            wait = backoff(FIRST_SECONDS, row.tries, LONGEST_SECONDS, _draw())
            row.retry_at = now + timedelta(seconds=wait)
            tries = row.tries
        log.error("%s failed for %s (try %d), next try in %.0f s: %s", step, item.key, tries, wait, text)
        if item.job_id is not None and tries & (tries - 1) == 0:  # the first, then each doubling
            self._tell_job(step, item.job_id, tries, text, wait)

    def _tell_job(self, step: str, job_id: str, tries: int, text: str, wait: float) -> None:
        message = f"{step} failed for this job (try {tries}) and is tried again in {wait:.0f} s: {text}"
        try:
            with self._database.write() as session:
                unit = Unit(session)
                unit.event(unit.lock_job(job_id), EVENT, ACTOR, message, step=step, tries=tries)
        except NotFound:
            return
        except Exception as error:
            if away(error):
                raise
            log.error("the event of that failure could not be written: %s: %s", type(error).__name__, error)

    def _forget(self, step: str, key: str) -> None:
        with self._database.write() as session:
            session.execute(delete(PassFailure).where(PassFailure.step == step, PassFailure.item == key))


def ready(step: str, key: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """A condition for a step's query: the item does not wait for its next try."""
    waits = exists().where(PassFailure.step == step, PassFailure.item == key, PassFailure.retry_at > db_now())
    return ~waits
