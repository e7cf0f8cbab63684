"""Determines since when the service can take heartbeats. Only this uptime counts towards the expiry of leases.

Each replica regularly writes its row of `replicas`. It compares the database's clock with a monotonic clock, which also
runs while the host sleeps. After a gap or a clock change, the replica starts a new row. When it starts a row, it reads
the rows of all replicas once: docs/decisions/0028-leases-and-outages.md.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update

from baton.domain.states import HELD_ATTEMPTS
from baton.domain.uptime import Served, Span, longest_gap, served, since
from service.db.base import IS_LIVE
from service.db.engine import Database
from service.db.operation_tables import Replica
from service.db.tables import Attempt
from service.db.types import db_now
from service.db.unit_of_work import new_id
from service.reconciler.leader_election import boot_clock

LOOK_SECONDS = 1.0
CLOCK_SECONDS = 1.0
"""Tolerated change of the difference between the database's clock and this host's clock within ANCHOR_SECONDS."""

ANCHOR_SECONDS = 60.0
PATIENCE_LEASES = 3.0
"""After this many lease times of service uptime, the lease of a silent worker expires, even if there were outages."""

# Built once: each pass needs it several times, and a build costs more than the execution.
_ANY_HELD = select(exists().where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS)))

KEPT = timedelta(days=1)
MOST_ROWS = 5_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Look:
    """A reading of the database's clock, between two readings of this host's clock."""

    at: datetime
    begun: float
    ended: float


@dataclass(frozen=True)
class _Break:
    """Why a new row starts. `start`: the process is new. `clock_set`: the clock was set, so older rows are ignored."""

    why: str
    start: bool = False
    clock_set: bool = False


class LeaseGuard:
    """Writes the row and compares the clocks. Thread-safe. `lease` and `heartbeat` in seconds. `clock`: monotonic, also
    runs while the host sleeps.

    `clock_sets`: the number of detected changes of the database's clock.
    """

    def __init__(
        self, database: Database, lease: float, heartbeat: float, clock: Callable[[], float] | None = None
    ) -> None:
        self._database, self._clock = database, clock or boot_clock
        self._gap = longest_gap(lease, heartbeat)
        self._patience = PATIENCE_LEASES * lease
        self._every = min(LOOK_SECONDS, self._gap / 3)
        self._jump = min(CLOCK_SECONDS, self._gap / 2)
        self._process = f"{platform.node()[:200]}:{os.getpid()}:{new_id()[:8]}"
        self._rows = 0
        self._last: _Look | None = None
        self._written = float("-inf")
        self._anchor: _Look | None = None
        self._since: datetime | None = None
        self._long_before: datetime | None = None
        self._begun_by = _Break("")
        self.clock_sets = 0
        self._failing = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease guard", daemon=True)

    def start(self) -> None:
        """Start the background thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the background thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def look(self) -> Served:
        """Compare the clocks, write the row if it is due, and return the time that counts for leases.

        Raises the errors of the database.
        """
        with self._lock:
            look, new = self._write()
            if new is None and (new := self._broken(look)) is not None:
                look = self._begin_row()
            if new is not None:
                self.clock_sets += new.clock_set
                self._anchor, self._since, self._begun_by = look, None, new
            elif self._anchor is None or look.ended > self._anchor.ended + ANCHOR_SECONDS:
                self._anchor = look
            self._last = look
            if self._since is None:
                self._since, self._long_before = self._history(look.at)
            return Served(look.at, self._since, self._long_before)

    def _write(self) -> tuple[_Look, _Break | None]:
        """Read the clocks and renew the row if due. The second value: why a new row was started, or None."""
        if self._last is None:
            return self._begin_row(), _Break("the process is new", start=True)
        begun = self._clock()
        if begun < self._written + self._every or (not self._database.shared and not self.any_held()):
            # The row is not due yet, or the database is SQLite and no attempt is held. In the second case a write
            # would cost one disk sync per second, but there is no lease to protect.
            with self._database.peek() as connection:
                moment = connection.execute(select(db_now())).scalar_one()
            return _Look(moment, begun, self._clock()), None
        with self._connect() as connection:
            renewed = connection.execute(self._renewal(self._last.at)).scalar_one_or_none()
        if renewed is None:
            last, look = self._last, self._begin_row()
            # If only the database's clock shows a long gap, the database's clock was set.
            clock_set = look.ended - last.ended <= self._gap
            return look, _Break("its row was too old, by the database's clock", clock_set=clock_set)
        self._written = self._clock()
        return _Look(renewed, begun, self._written), None

    def _renewal(self, last: datetime) -> Any:
        # The database checks the gap again, because the process may have been suspended between the reading and this
        # write.
        margin = timedelta(seconds=self._gap)
        query = update(Replica).where(Replica.name == self._name, db_now() <= last + margin, db_now() >= last - margin)
        return query.values(last_write_at=db_now()).returning(Replica.last_write_at)

    def any_held(self) -> bool:
        """Whether any attempt has a lease. Raises the errors of the database."""
        with self._database.peek() as connection:
            return bool(connection.execute(_ANY_HELD).scalar_one())

    def _begin_row(self) -> _Look:
        begun = self._clock()
        self._rows += 1
        with self._connect() as connection:
            row = insert(Replica).values(name=self._name, started_at=db_now(), last_write_at=db_now())
            moment = connection.execute(row.returning(Replica.last_write_at)).scalar_one()
            # A time in the future means that the row was written before the clock was set back.
            old = (Replica.last_write_at < moment - KEPT) | (
                Replica.last_write_at > moment + timedelta(seconds=self._gap)
            )
            connection.execute(delete(Replica).where(old, Replica.name != self._name))
        self._written = self._clock()
        return _Look(moment, begun, self._written)

    @property
    def _name(self) -> str:
        return f"{self._process}:{self._rows}"

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        if self._database.shared:
            engine = self._database.engine.execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                yield connection
        else:
            with self._database.write() as session:
                yield session.connection()

    def _broken(self, look: _Look) -> _Break | None:
        """Why uptime before this reading does not count. None if it counts."""
        if self._last is not None and look.ended - self._last.ended > self._gap:
            return _Break(f"it wrote nothing for {look.ended - self._last.ended:.1f} s")
        if self._anchor is not None:
            moved = (look.at - self._anchor.at).total_seconds()
            least, most = look.begun - self._anchor.ended, look.ended - self._anchor.begun
            if not least - self._jump <= moved <= most + self._jump:
                by = moved - (least + most) / 2
                return _Break(f"the database's clock was set by {by:+.1f} s", clock_set=True)
        return None

    def _history(self, now: datetime) -> tuple[datetime, datetime | None]:
        query = select(Replica.started_at, Replica.last_write_at).order_by(Replica.last_write_at.desc())
        with self._database.peek() as connection:
            rows = connection.execute(query.limit(MOST_ROWS)).all()
        margin = timedelta(seconds=self._gap)
        # Another replica may have written after `now` was read. Limit its time to `now`.
        known = [Span(begun, min(ended, now)) for begun, ended in rows if begun <= ended <= now + margin]
        joined = served(known, now, self._gap)
        clock_set = self._begun_by.clock_set
        begun = now if clock_set or not joined else joined[0].begun
        level = logging.INFO if self._begun_by.start else logging.WARNING
        text = "leases: uptime counts from %s, because heartbeats were accepted without a gap since then: %s"
        log.log(level, text, begun, self._begun_by.why)
        # Times of heartbeats before the change of the clock cannot be compared with these rows.
        return begun, None if clock_set else since(joined, self._patience)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception as error:
                if not self._failing:
                    log.warning("leases: no database writes possible (%s); no lease expires now", type(error).__name__)
                self._failing = True
            else:
                self._failing = False
            self._stopping.wait(self._every)
