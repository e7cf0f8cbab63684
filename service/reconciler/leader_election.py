"""Which replica conducts: one at a time, by a lease on a row that is given back at a clean end."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Interval, case, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from service.db.engine import Database
from service.db.leader_table import Leader
from service.db.types import db_now
from service.db.unit_of_work import new_id

NAME = "conductor"
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 600.0
"""Longer than any leader lease: BATON_LEADER_SECONDS is at most half of it."""

log = logging.getLogger(__name__)


class Leadership(Protocol):
    """Whether this replica conducts now."""

    def start(self) -> None:
        """Begin to ask for it."""
        ...

    def leads(self) -> bool:
        """Whether it is held without doubt; asks nobody."""
        ...

    def stop(self) -> None:
        """Give it back."""
        ...

    def describe(self) -> str:
        """Who conducts, in words."""
        ...


class Alone:
    """There is no other replica: a SQLite file serves one."""

    def start(self) -> None:
        """Nothing to ask."""

    def leads(self) -> bool:
        """Always."""
        return True

    def stop(self) -> None:
        """Nobody to give it to."""

    def describe(self) -> str:
        """As there is but one."""
        return "this replica, the only one"


@dataclass(frozen=True)
class Standing:
    """The row as it was left. `mine`: this holder has it from now on."""

    holder: str
    term: int
    mine: bool


class LeaderRow:
    """The row and what is done to it, each time in one statement: nobody stands still with the row in his hand."""

    def __init__(self, database: Database, holder: str, seconds: float) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._holder = holder
        self._lease, self._longest = (literal(timedelta(seconds=n), Interval()) for n in (seconds, LONGEST_SECONDS))

    def take(self) -> Standing:
        """Take the row if nobody holds it, keep it if this one does."""
        row = insert(Leader).values(name=NAME, holder=self._holder, term=1, expires_at=db_now() + self._lease)
        # A lease that ends later than this was written before the clock was set back.
        free = or_(Leader.expires_at <= db_now(), Leader.expires_at > db_now() + self._longest)
        changes = {
            "holder": row.excluded.holder,
            "term": Leader.term + case((or_(free, Leader.holder != self._holder), 1), else_=0),
            "expires_at": db_now() + self._lease,
        }
        query = row.on_conflict_do_update(
            index_elements=[Leader.name], set_=changes, where=or_(free, Leader.holder == self._holder)
        )
        with self._engine.connect() as connection:
            term = connection.execute(query.returning(Leader.term)).scalar_one_or_none()
            if term is not None:
                return Standing(self._holder, term, mine=True)
            holder, term = connection.execute(select(Leader.holder, Leader.term).where(Leader.name == NAME)).one()
            return Standing(holder, term, mine=False)

    def give_back(self) -> None:
        """Let another have it at once."""
        mine = (Leader.name == NAME, Leader.holder == self._holder)
        with self._engine.connect() as connection:
            connection.execute(update(Leader).where(*mine).values(expires_at=db_now()))


class Elected:
    """Asks for the row again and again. A lease counts from before the question was put, on this machine's clock."""

    def __init__(self, database: Database, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._seconds = seconds
        self._every = min(LOOK_SECONDS, seconds / 3)
        self._clock = clock or boot_clock
        self._row = LeaderRow(database, f"{platform.node()[:200]}:{os.getpid()}:{new_id()[:8]}", seconds)
        self._until = float("-inf")
        self._seen: Standing | None = None
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)

    def start(self) -> None:
        """Begin to ask for it."""
        self._thread.start()

    def leads(self) -> bool:
        """Whether the lease lasts; a process that stood still for longer than that has lost it without being told."""
        return self._clock() < self._until

    def stop(self) -> None:
        """Give it back, so that another need not wait for the lease to run out."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if self.leads():
            self._until = float("-inf")
            try:
                self._row.give_back()
            except SQLAlchemyError as error:
                log.warning("reconciler: leadership could not be given back (%s): it ends by itself", _short(error))

    def describe(self) -> str:
        """Who conducts, as it was seen last."""
        seen = self._seen
        if self.leads():
            return f"this replica, {seen.holder} (term {seen.term})" if seen else "this replica"
        return f"{seen.holder} (term {seen.term})" if seen and not seen.mine else "not known now"

    def ask(self) -> None:
        """Take or keep the row, if it can be had."""
        asked = self._clock()
        try:
            standing = self._row.take()
        except SQLAlchemyError as error:
            self._failed(error)
            return
        self._until = asked + self._seconds if standing.mine else float("-inf")
        self._failing = False
        self._tell(self._seen, standing)
        self._seen = standing

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.ask()
            self._stopping.wait(self._every)

    def _tell(self, before: Standing | None, now: Standing) -> None:
        if before is None or before.mine == now.mine:
            return
        if now.mine:
            log.warning("reconciler: this replica leads now, term %d; %s led before", now.term, before.holder)
        else:
            log.warning("reconciler: leadership was lost; %s has it, term %d", now.holder, now.term)

    def _failed(self, error: SQLAlchemyError) -> None:
        if not self._failing:
            log.warning("reconciler: the leader's row cannot be reached and is tried again: %s", _short(error))
        self._failing = True


def leadership(database: Database, seconds: float) -> Leadership:
    """How the one that conducts is found on this database."""
    return Elected(database, seconds) if database.shared else Alone()


def boot_clock() -> float:
    """Seconds on a monotonic clock. On Linux it also runs while the host sleeps."""
    # Linux has a clock that goes on while the machine sleeps.
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def _short(error: SQLAlchemyError) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]
