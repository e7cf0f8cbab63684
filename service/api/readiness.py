"""Checks in the background whether the database, Redis and the store are usable. Requests read the last results.

Each dependency has one thread. A dependency that hangs blocks only this thread, for any number of clients. The age of
the last answer shows for how long the dependency has not answered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from redis import Redis, RedisError
from sqlalchemy import insert, update
from sqlalchemy.exc import SQLAlchemyError

from baton.storage import BlobStore, StoreError
from service.db.disk_space import crowded_disk, failing_disk, full_disk
from service.db.engine import Database
from service.db.operation_tables import Probe
from service.db.types import db_now

OK = "ok"
NOT_YET = "not checked yet"
EVERY = {"database": 5.0, "redis": 2.0, "store": 10.0}
"""Seconds from an answer to the next check. A check of a bucket costs two requests."""

AGAIN_SECONDS = 1.0
"""Seconds until the next check of a dependency that failed."""

FAILURE_SECONDS = 10.0
"""A failed request makes a part unready for this time. On a full disk, the small write of a check may still succeed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """A check of a dependency. `ask`: returns OK, or the problem and what to do. `bound`: time limit in seconds."""

    name: str
    ask: Callable[[], str]
    bound: float


@dataclass(frozen=True)
class State:
    """State of a dependency. `age`: seconds since its last answer, None before the first."""

    text: str
    age: float | None

    @property
    def ok(self) -> bool:
        """Whether the dependency is usable."""
        return self.text == OK


class Readiness:
    """The last answer of each dependency. Thread-safe; reading it does not block."""

    def __init__(self, checks: Iterable[Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = {check.name: _Kept(check, clock) for check in checks}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the checks."""
        for name, kept in self._kept.items():
            thread = threading.Thread(target=kept.run, args=(self._stopping,), name=f"check-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop the checks. A check that hangs is abandoned."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def states(self) -> Mapping[str, State]:
        """The state of each dependency, by name."""
        return {name: kept.state() for name, kept in self._kept.items()}

    def failed(self, name: str, text: str) -> None:
        """Record that a request failed because of a dependency. The state shows it for FAILURE_SECONDS."""
        self._kept[name].failed(text)


class _Kept:
    """One dependency and its last answer."""

    def __init__(self, check: Check, clock: Callable[[], float]) -> None:
        self._check, self._clock = check, clock
        self._asked_at: float | None = None
        self._answer: tuple[str, float] | None = None
        self._failure: tuple[str, float] | None = None

    def run(self, stopping: threading.Event) -> None:
        """Check until `stopping` is set."""
        while not stopping.is_set():
            self._asked_at = self._clock()
            text = self._ask()
            if text != (self._answer[0] if self._answer else OK):
                log.warning("%s: %s", self._check.name, "usable again" if text == OK else text)
            self._answer, self._asked_at = (text, self._clock()), None
            stopping.wait(EVERY[self._check.name] if text == OK else AGAIN_SECONDS)

    def state(self) -> State:
        """The current state."""
        now, asked_at, answer, failure = self._clock(), self._asked_at, self._answer, self._failure
        age = None if answer is None else max(0.0, now - answer[1])
        if asked_at is not None and now - asked_at > self._check.bound:
            return State(f"no answer for {now - asked_at:.0f} s; look at {_WHERE[self._check.name]}", age)
        if answer is None:
            return State(NOT_YET, None)
        if answer[0] == OK and failure is not None and now < failure[1] + FAILURE_SECONDS:
            return State(failure[0], age)
        return State(answer[0], age)

    def failed(self, text: str) -> None:
        """Record a failure that a request reported."""
        self._failure = (text, self._clock())

    def _ask(self) -> str:
        try:
            return self._check.ask()
        except Exception as error:
            log.exception("the check of %s failed", self._check.name)
            return f"cannot be checked ({type(error).__name__}); the service's log has the details"


_WHERE = {
    "database": "BATON_DATABASE_URL and the server it names",
    "redis": "BATON_REDIS_URL and the server it names",
    "store": "BATON_STORE, and at its disk, mount or network",
}


def checks(database: Database, redis: Redis, store: BlobStore, doubt: Callable[[], str | None]) -> list[Check]:
    """The checks of the service. Each check writes: a dependency that is only readable is not ready.

    `doubt`: returns why the store may not be the store of this database; None if there is no doubt.
    """
    return [
        Check("database", lambda: check_database(database), bound=5.0),
        Check("redis", lambda: check_redis(redis), bound=8.0),
        Check("store", lambda: check_store(store, doubt), bound=10.0),
    ]


def check_database(database: Database) -> str:
    """OK after a small write is committed."""
    url = database.engine.url
    try:
        if crowded := crowded_disk(url):
            return crowded
        with database.write() as session:
            if not session.execute(update(Probe).values(at=db_now())).rowcount:  # type: ignore[attr-defined]
                session.execute(insert(Probe).values(id=Probe.ONLY, at=db_now()))
    except SQLAlchemyError as error:
        disk = full_disk(error, url) or failing_disk(error, url)
        return disk or f"does not answer ({type(error).__name__}); look at {_WHERE['database']}"
    return OK


def check_redis(redis: Redis) -> str:
    """OK after an answer."""
    try:
        redis.ping()
    except RedisError as error:
        return f"does not answer ({type(error).__name__}); look at {_WHERE['redis']}"
    return OK


def check_store(store: BlobStore, doubt: Callable[[], str | None] = lambda: None) -> str:
    """OK if the store accepts a write and is the store that was used before with this database."""
    try:
        store.check()
    except StoreError as error:
        return str(error)
    return doubt() or OK
