"""Whether the database, Redis and the store can be used: asked in the background, told from memory.

Each dependency has one thread. However many clients ask, a dependency that hangs takes that one thread and nothing
else; the age of its last answer tells how long it has been silent.
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

from core.storage import BlobStore, StoreError
from service.db.disk import crowded_disk, failing_disk, full_disk
from service.db.engine import Database
from service.db.operations import Probe
from service.db.types import db_now

OK = "ok"
NOT_YET = "not checked yet"
EVERY = {"database": 5.0, "redis": 2.0, "store": 10.0}
"""Seconds from an answer to the next check. In a bucket a check of the store costs two requests."""

AGAIN_SECONDS = 1.0
"""Until the next check of a dependency that is not well."""

TOLD_SECONDS = 10.0
"""How long a request's failure by a full disk counts: a check's small write may fit where that request's did not."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """How a dependency is checked. `ask`: OK, or what is wrong and what to do. `bound`: seconds that it may take."""

    name: str
    ask: Callable[[], str]
    bound: float


@dataclass(frozen=True)
class State:
    """How a dependency stands. `age`: seconds since its last answer, None before the first."""

    text: str
    age: float | None

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.text == OK


class Readiness:
    """The last answer of each dependency. Safe for several threads; asking it waits for nothing."""

    def __init__(self, checks: Iterable[Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = {check.name: _Kept(check, clock) for check in checks}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to check."""
        for name, kept in self._kept.items():
            thread = threading.Thread(target=kept.run, args=(self._stopping,), name=f"check-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Check no more. A check that hangs is left behind."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def states(self) -> Mapping[str, State]:
        """How each dependency stands, by name."""
        return {name: kept.state() for name, kept in self._kept.items()}

    def failed(self, name: str, text: str) -> None:
        """A request met a dependency that cannot be used: that counts for TOLD_SECONDS."""
        self._kept[name].told(text)


class _Kept:
    """One dependency and its last answer."""

    def __init__(self, check: Check, clock: Callable[[], float]) -> None:
        self._check, self._clock = check, clock
        self._asked_at: float | None = None
        self._answer: tuple[str, float] | None = None
        self._told: tuple[str, float] | None = None

    def run(self, stopping: threading.Event) -> None:
        """Check until the end."""
        while not stopping.is_set():
            self._asked_at = self._clock()
            text = self._ask()
            self._say_change(text)
            self._answer, self._asked_at = (text, self._clock()), None
            stopping.wait(EVERY[self._check.name] if text == OK else AGAIN_SECONDS)

    def state(self) -> State:
        """How it stands now."""
        now, asked_at, answer, told = self._clock(), self._asked_at, self._answer, self._told
        age = None if answer is None else max(0.0, now - answer[1])
        if asked_at is not None and now - asked_at > self._check.bound:
            return State(f"no answer for {now - asked_at:.0f} s; look at {_WHERE[self._check.name]}", age)
        if answer is None:
            return State(NOT_YET, None)
        if answer[0] == OK and told is not None and now < told[1] + TOLD_SECONDS:
            return State(told[0], age)
        return State(answer[0], age)

    def told(self, text: str) -> None:
        """Somebody met it as it cannot be used."""
        self._told = (text, self._clock())

    def _ask(self) -> str:
        try:
            return self._check.ask()
        except Exception as error:
            log.exception("the check of %s failed", self._check.name)
            return f"cannot be checked ({type(error).__name__}); the service's log says more"

    def _say_change(self, text: str) -> None:
        before = self._answer[0] if self._answer else OK
        if before != text:
            log.warning("%s: %s", self._check.name, "can be used again" if text == OK else text)


_WHERE = {
    "database": "BATON_DATABASE_URL and the server it names",
    "redis": "BATON_REDIS_URL and the server it names",
    "store": "BATON_STORE, and at the disk, mount or network below it",
}


def checks(database: Database, redis: Redis, store: BlobStore, doubt: Callable[[], str | None]) -> list[Check]:
    """Those of the service. Each writes: what can be read and not written is not ready.

    `doubt`: why the store may be another than that of this database, if it may be.
    """
    return [
        Check("database", lambda: check_database(database), bound=5.0),
        Check("redis", lambda: check_redis(redis), bound=8.0),
        Check("store", lambda: check_store(store, doubt), bound=10.0),
    ]


def check_database(database: Database) -> str:
    """OK once a small write is committed."""
    url = database.engine.url
    try:
        if crowded := crowded_disk(url):
            return crowded
        with database.write() as session:
            if not session.execute(update(Probe).values(at=db_now())).rowcount:  # type: ignore[attr-defined]
                session.execute(insert(Probe).values(id=Probe.ONLY, at=db_now()))
    except SQLAlchemyError as error:
        told = full_disk(error, url) or failing_disk(error, url)
        return told or f"does not answer ({type(error).__name__}); look at {_WHERE['database']}"
    return OK


def check_redis(redis: Redis) -> str:
    """OK once it answered."""
    try:
        redis.ping()
    except RedisError as error:
        return f"does not answer ({type(error).__name__}); look at {_WHERE['redis']}"
    return OK


def check_store(store: BlobStore, doubt: Callable[[], str | None] = lambda: None) -> str:
    """OK once it took a write and is the one that this database was used with."""
    try:
        store.check()
    except StoreError as error:
        return str(error)
    return doubt() or OK
