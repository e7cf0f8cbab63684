"""Leader election by a lease on a database row: one replica at a time runs the reconciler."""

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
    """Whether this replica is the leader."""

    def start(self) -> None:
        """Start to request the lease."""
        ...

    def leads(self) -> bool:
        """Whether this replica certainly is the leader now. Does not query the database."""
        ...

    def stop(self) -> None:
        """Release the lease."""
        ...

    def describe(self) -> str:
        """The leader, as text for operators."""
        ...


class Alone:
    """The only replica, because only one process can use a SQLite file."""

    def start(self) -> None:
        """Does nothing."""

    def leads(self) -> bool:
        """Always."""
        return True

    def stop(self) -> None:
        """Does nothing."""

    def describe(self) -> str:
        """The leader, as text for operators."""
        return "this replica, the only one"


@dataclass(frozen=True)
class Standing:
    """The content of the row after a request. `mine`: whether this replica has the lease."""

    holder: str
    term: int
    mine: bool


class LeaderRow:
    """The leader row. Each operation is one autocommitted statement, so no row lock is held across a pause."""

    def __init__(self, database: Database, holder: str, seconds: float) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._holder = holder
        self._lease, self._longest = (literal(timedelta(seconds=n), Interval()) for n in (seconds, LONGEST_SECONDS))

    def take(self) -> Standing:
        """Take the lease if it is free. Renew the lease if this replica has it."""
        row = insert(Leader).values(name=NAME, holder=self._holder, term=1, expires_at=db_now() + self._lease)
        # A lease that ends after this time was written before the clock was set back, so it counts as free.
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
        """Let this replica's lease expire now, so that another replica can take it at once."""
        mine = (Leader.name == NAME, Leader.holder == self._holder)
        with self._engine.connect() as connection:
            connection.execute(update(Leader).where(*mine).values(expires_at=db_now()))


class Elected:
    """Requests the lease periodically. Its time counts from before the request, by this host's clock."""

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
        """Start to request the lease."""
        self._thread.start()

    def leads(self) -> bool:
        """Whether the lease is still valid. It may have expired while this process was suspended."""
        return self._clock() < self._until

    def stop(self) -> None:
        """Release the lease, so that another replica need not wait for its end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if self.leads():
            self._until = float("-inf")
            try:
                self._row.give_back()
            except SQLAlchemyError as error:
                log.warning("reconciler: the leader lease could not be released (%s) and will expire", _short(error))

    def describe(self) -> str:
        """The leader as of the last request, as text for operators."""
        seen = self._seen
        if self.leads():
            return f"this replica, {seen.holder} (term {seen.term})" if seen else "this replica"
        return f"{seen.holder} (term {seen.term})" if seen and not seen.mine else "not known now"

    def ask(self) -> None:
        """Request or renew the lease once."""
        asked = self._clock()
        try:
            standing = self._row.take()
        except SQLAlchemyError as error:
            if not self._failing:
                log.warning("reconciler: the leader row cannot be reached; it is tried again: %s", _short(error))
            self._failing = True
            return
        self._until = asked + self._seconds if standing.mine else float("-inf")
        self._failing = False
        before, self._seen = self._seen, standing
        if before is not None and before.mine != standing.mine:
            if standing.mine:
                log.warning("reconciler: this replica leads now, term %d; %s led before", standing.term, before.holder)
            else:
                log.warning("reconciler: leadership was lost; %s leads now, term %d", standing.holder, standing.term)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.ask()
            self._stopping.wait(self._every)


def leadership(database: Database, seconds: float) -> Leadership:
    """The leader election for this database."""
    return Elected(database, seconds) if database.shared else Alone()


def boot_clock() -> float:
    """Seconds on a monotonic clock. On Linux it also runs while the host sleeps."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def _short(error: SQLAlchemyError) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]
