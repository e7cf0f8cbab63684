"""Handles the items of a step. The failure of one item does not stop the others.

An item that failed gets a row in `pass_failures` with its error and the time of its next try (exponential backoff).
Each step excludes such items in its query, so that they do not fill the batches, which are bounded by LIMIT.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, bindparam, delete, exists, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from baton.domain.backoff import at_doubling, backoff
from service.db.engine import Database
from service.db.operation_tables import PassFailure
from service.db.outage import away, busy, refused
from service.db.types import db_now
from service.db.unit_of_work import Unit, clean
from service.errors import NotFound
from service.principal import Principal

ACTOR = "conductor"
CONDUCTOR = Principal(ACTOR, frozenset())
"""The reconciler in the audit log."""

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 600.0
FORGOTTEN_AFTER = timedelta(hours=1)
MAX_ERROR = 2_000
BATCH = 1_000
_NO_SYNC = {"synchronize_session": False}
log = logging.getLogger(__name__)
_draw = random.SystemRandom().random


@dataclass(frozen=True)
class Item:
    """An item of a step. `key`: id of the row or name of the object. `job_id`: the job of the item, if known."""

    key: str
    job_id: str | None = None


class Isolation:
    """Runs steps item by item. Calls `failed` with the name of the step each time an item fails."""

    def __init__(self, database: Database, failed: Callable[[str], None] = lambda _step: None) -> None:
        self._database, self._failed = database, failed

    def each(
        self,
        step: str,
        items: Iterable[Item],
        act: Callable[[str], object],
        ends: tuple[type[Exception], ...] = (),
    ) -> None:
        """Call `act(item.key)` for each item. An exception is recorded and does not end the loop.

        Raises the errors of an unavailable database, and exceptions of the types in `ends`. No item is the cause of
        these, so the step ends.
        """
        due = list(items)
        known = self._known(step, [item.key for item in due])
        for item in due:
            try:
                self._one(step, item, act, known=item.key in known, ends=ends)
            except Exception as error:
                if isinstance(error, ends) or (away(error) and not busy(error) and not refused(error)):
                    raise
                # The write of the item's `pass_failures` row failed, so the failure is only logged.
                if not busy(error):
                    log.error("%s: the result for %s could not be recorded: %s", step, item.key, type(error).__name__)

    def together(self, step: str, items: Sequence[Item], act: Callable[[Sequence[str]], object]) -> None:
        """Call `act` once with the keys of all items. If it raises, call it with each key alone, as `each` does.

        This costs one transaction for the whole batch when no item fails. `act` must be repeatable: it may have handled
        some items before it raised.

        Raises the errors of an unavailable database.
        """
        keys = [item.key for item in items]
        if len(keys) > 1:
            try:
                act(keys)
            except Exception as error:
                if away(error) and not busy(error) and not refused(error):
                    raise
                log.info("%s failed for a batch, which is handled item by item: %s", step, type(error).__name__)
            else:
                self._forget(step, self._known(step, keys))
                return
        self.each(step, items, lambda key: act([key]))

    def _one(
        self, step: str, item: Item, act: Callable[[str], object], *, known: bool, ends: tuple[type[Exception], ...]
    ) -> None:
        try:
            act(item.key)
        except Exception as error:
            # Another transaction has locked the row. The next pass tries again soon.
            if busy(error) or isinstance(error, ends) or (away(error) and not refused(error)):
                raise
            self._record(step, item, error)
        else:
            self._forget(step, {item.key} if known else set())

    def _forget(self, step: str, keys: Collection[str]) -> None:
        """Delete the recorded failures of items that have succeeded."""
        if keys:
            with self._database.write() as session:
                session.execute(delete(PassFailure).where(PassFailure.step == step, PassFailure.item.in_(keys)))

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
            now = Unit(session).now()
            row = session.get(PassFailure, (step, item.key))
            tries = 1 if row is None else row.tries + 1
            wait = backoff(FIRST_SECONDS, tries, LONGEST_SECONDS, _draw())
            if row is None:
                row = PassFailure(step=step, item=item.key, job_id=item.job_id, first_at=now)
                session.add(row)
            row.tries, row.error, row.retry_at = tries, text, now + timedelta(seconds=wait)
        log.error("%s failed for %s (try %d), next try in %.0f s: %s", step, item.key, tries, wait, text)
        if item.job_id is not None and at_doubling(tries):
            self._write_event(step, item.job_id, tries, text, wait)

    def _write_event(self, step: str, job_id: str, tries: int, text: str, wait: float) -> None:
        message = f"{step} failed for this job (try {tries}) and is tried again in {wait:.0f} s: {text}"
        try:
            with self._database.write() as session:
                unit = Unit(session, wait=False)
                job = unit.lock_job(job_id, doomed=True)
                unit.event(job, "item_failed", ACTOR, message, step=step, tries=tries)
        except NotFound:
            return
        except Exception as error:
            if away(error) and not busy(error):
                raise
            log.error("the event of that failure could not be written: %s: %s", type(error).__name__, error)

    def forget_old(self) -> None:
        """Delete old rows. Items that still exist are tried when due, so their rows are newer and stay."""
        with self._database.write() as session:
            now = Unit(session).now()
            old = _some(PassFailure.retry_at < now - FORGOTTEN_AFTER)
            session.execute(delete(PassFailure).where(old), execution_options=_NO_SYNC)
            # A later time than any backoff allows means that the row was written before the clock was set back.
            ahead = _some(PassFailure.retry_at > now + timedelta(seconds=2 * LONGEST_SECONDS))
            session.execute(update(PassFailure).where(ahead).values(retry_at=now), execution_options=_NO_SYNC)


def _some(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """At most BATCH of the rows that meet the condition, because on SQLite all other writers wait for a transaction."""
    keys = select(PassFailure.step, PassFailure.item).where(condition).limit(BATCH)
    return tuple_(PassFailure.step, PassFailure.item).in_(keys)


def ready(step: str, key: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """A condition for a step's query: the item is not waiting for its next try."""
    waits = exists().where(PassFailure.step == step, PassFailure.item == key, PassFailure.retry_at > db_now())
    return ~waits


# Built once, as every statement that a pass runs without finding anything: a build costs more than the execution.
_WAITING = select(PassFailure.item).where(
    PassFailure.step.in_(bindparam("steps", expanding=True)), PassFailure.retry_at > db_now()
)


def waiting(session: Session, *steps: str) -> set[str]:
    """The items of these steps that wait for their next try. For steps whose items are not rows of one query."""
    return set(session.scalars(_WAITING, {"steps": steps}))
