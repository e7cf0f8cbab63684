"""Rows like those of a year of use: a few real jobs, copied inside the database by INSERT ... SELECT.

Each template is a job that was created through the API, so the service itself wrote its rows. A copy differs only in
the values that must be unique.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Engine,
    Table,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy import String as Text

from baton.storage import BlobStore
from bench.simulated import train
from service.db.auth_tables import AuditEntry
from service.db.notification_table import Notification
from service.db.tables import (
    Attempt,
    Checkpoint,
    Epoch,
    Event,
    IdempotencyKey,
    Job,
    JobLabel,
    Pointer,
    Stage,
    Worker,
)
from tests.support.jobs import tiny

CHUNK = 250_000
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
TEAMS, TEAM = 20, "team-7"
OF_JOB: tuple[Any, ...] = (JobLabel, Stage, Attempt, Checkpoint, Pointer, Epoch, Event)

Row = Mapping[str, Any]
Rows = dict[Any, list[Row]]
"""The rows of one job, by table."""

Column = ColumnElement[int]
Changes = Callable[[Column], Row]
"""Maps the number of a copy (from 1) to the columns in which it differs from the template."""


@dataclass(frozen=True)
class Year:
    """Numbers of rows. `aged`: jobs with `attempts` attempts each. `others`: keys, and as many audit entries and
    notifications.
    """

    ended: int = 100_000
    queued: int = 20_000
    aged: int = 50
    attempts: int = 100
    retired: int = 10_000
    events: int = 1_000_000
    workers: int = 100_000
    others: int = 50_000


SMALL = Year(ended=400, queued=200, attempts=10, retired=200, events=2_000, workers=500, others=100)


class Crowd:
    """Adds the rows of a year to the database behind a service. `http` is a client of that service."""

    def __init__(self, engine: Engine, http: httpx.Client, store: BlobStore) -> None:
        self._engine, self._http, self._store = engine, http, store
        self._postgres = engine.dialect.name == "postgresql"

    def grow(self, year: Year) -> None:
        """Add all rows. The aged jobs are the newest, so that each list shows them."""
        ended, queued = self._template(ended=True), self._template(ended=False)
        first = self._jobs(ended, year.ended, {"sweep_at": None}) + 1
        self._events(ended, first, year)
        self._jobs(queued, year.queued, {}, {"dispatched_at": None, "dispatches": 0})
        self._aged(ended, year)
        self._others(first, year, LONG_AGO)

    def ended(self, year: Year, at: datetime) -> list[str]:
        """Add only the ended jobs, the events and the others, all with this time. Returns the ids of the jobs."""
        of = self._template(ended=True)
        first = self._jobs(of, year.ended, {"finished_at": at, "sweep_at": None}) + 1
        self._events(of, first, year)
        self._others(first, year, at)
        return [f"a{number:031x}" for number in range(first, first + year.ended)]

    def aged(self, many: int, attempts: int = 1) -> None:
        """Add `many` jobs with `attempts` attempts each, on the first page of each list."""
        self._aged(self._template(ended=True), Year(aged=many, attempts=attempts))

    def retire(self, job_id: str, many: int) -> None:
        """Add `many` deleted checkpoints to the job."""
        with self._engine.connect() as connection:
            row = _first(connection, Checkpoint, Checkpoint.job_id == job_id)
        gone = {"state": "deleted", "collected_at": LONG_AGO}
        self._copy(Checkpoint, row, many, lambda k: {**gone, "id": self._id("e", k), "prefix": _name("old-", k)})

    def _template(self, *, ended: bool) -> Rows:
        """The rows of a job by table."""
        http = self._http
        job = http.post("/v1/jobs", json=tiny(name="crowd", labels={"team": TEAM})).raise_for_status().json()["id"]
        attempt = http.get(f"/v1/jobs/{job}/attempts").json()["items"][0]["id"]
        if ended:
            train(http, self._store, job, attempt)
        with self._engine.connect() as connection:
            found: Rows = {Job: [_first(connection, Job, Job.id == job)]}
            number = found[Job][0]["number"]
            for kind in OF_JOB:
                own = kind.job_number == number if kind is JobLabel else kind.job_id == job
                found[kind] = [dict(row) for row in connection.execute(select(kind.__table__).where(own)).mappings()]
            return found

    def _jobs(self, of: Rows, many: int, job: Row, attempt: Row | None = None) -> int:
        """Copy a job, with changed columns and without events. Returns the highest job number before the copies."""
        with self._engine.connect() as connection:
            base = connection.scalar(select(func.max(Job.number))) or 0
        placed = of[Attempt][0]["job_number"] is not None

        def changed(kind: Any, k: Column) -> Row:
            own, number = {"job_id": self._id("a", base + k)}, {"job_number": base + k}
            ids = {"id": self._id("b", base + k), **(number if placed else {})}
            saved = {"id": self._id("c", base + k), "attempt_id": self._id("b", base + k)}
            return {
                Job: {**job, "number": base + k, "id": self._id("a", base + k)},
                JobLabel: {**number, "value": _name("team-", k % TEAMS)},
                Attempt: {**(attempt or {}), **ids, **own},
                Checkpoint: {**saved, **own},
                Pointer: {"checkpoint_id": self._id("c", base + k), **own},
            }.get(kind, own)

        # The same transaction adds the attempt, because the service would add one to a queued job without attempts.
        with self._engine.begin() as connection:
            for kind in (Job, JobLabel, Stage, Attempt, Checkpoint, Pointer, Epoch):
                for row in of[kind]:
                    _copy(connection, kind, row, many, partial(changed, kind))
        self._renumber()
        return base

    def _events(self, of: Rows, first: int, year: Year) -> None:
        each = max(1, year.events // year.ended)
        row = next(row for row in of[Event] if row["kind"] == "epoch")

        def place(k: Column) -> Row:
            return {"job_id": self._id("a", first + (k - 1) // each), "sequence": (k - 1) % each + 1}

        self._copy(Event, row, year.ended * each, place)

    def _aged(self, of: Rows, year: Year) -> None:
        """Add jobs that were preempted many times before they ended."""
        before = year.attempts - 1
        spent = {"attempts": year.attempts, "interruptions": before, "seconds": {"training": 60.0 * year.attempts}}
        many = {"attempts": year.attempts, "preemptions": before, "spent": spent, "held_seconds": 70.0 * year.attempts}
        newest = {"number": year.attempts, "fence": year.attempts}
        base = self._jobs(of, year.aged, {"sweep_at": None, **many}, newest)
        with self._engine.begin() as connection:
            connection.execute(update(JobLabel).where(JobLabel.job_number > base).values(value=TEAM))
        if not before:
            return
        over = {"state": "preempted", "reason": "preempted"}

        def place(k: Column) -> Row:
            number = (k - 1) % before + 1
            of_job = {"job_id": self._id("a", base + 1 + (k - 1) // before), "number": number, "fence": number}
            return {"id": self._id("d", base * year.attempts + k), **of_job}

        self._copy(Attempt, of[Attempt][0], year.aged * before, lambda k: {**over, **place(k)})

    def _others(self, first: int, year: Year, at: datetime) -> None:
        with self._engine.connect() as connection:
            worker = _first(connection, Worker, Worker.name == "crowd")
            audit = _first(connection, AuditEntry, AuditEntry.kind == "job_submitted")
        self._copy(Worker, worker, year.workers, lambda k: {"name": _name("dead-", first + k), "last_seen_at": at})
        self._copy(AuditEntry, audit, year.others, lambda _: {"at": at})

        def job(k: Column) -> Row:
            return {"job_id": self._id("a", first + k % year.ended)}

        key = {"body": "d" * 64, "created_at": at}
        self._copy(IdempotencyKey, key, year.others, lambda k: {"key": _name("key-", first + k), **job(k)})
        told = {"kind": "recovering", "target": "ops", "title": "x", "body": "y", "state": "sent", "tries": 1}
        times = dict.fromkeys(("created_at", "next_at", "ended_at"), at)
        self._copy(Notification, {**told, **times}, year.others, lambda k: {"count": k, **job(k)})

    def _copy(self, kind: Any, row: Row, many: int, changes: Changes) -> None:
        with self._engine.begin() as connection:
            _copy(connection, kind, row, many, changes)

    def _id(self, letter: str, number: Column) -> ColumnElement[str]:
        """An id of 32 hex digits that begins with the letter."""
        if self._postgres:
            return literal(letter, Text()) + func.lpad(func.to_hex(number), 31, "0")
        return func.printf(f"{letter}%031x", number)

    def _renumber(self) -> None:
        """Make PostgreSQL continue after the numbers that were used here."""
        if self._postgres:
            with self._engine.begin() as connection:
                last = "(SELECT max(number) FROM jobs)"
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('jobs', 'number'), {last})"))


def _copy(connection: Connection, kind: Any, row: Row, many: int, changes: Changes) -> None:
    """Add `many` copies of the row."""
    table: Table = kind.__table__
    for start in range(1, many + 1, CHUNK):
        numbers = _numbers(start, min(start + CHUNK - 1, many))
        wanted = {**row, **changes(numbers.c.k)}
        if kind in (Checkpoint, AuditEntry, Notification):
            wanted.pop("number", None)  # the database assigns it
        names = [name for name in wanted if name in table.c]
        values = [_value(table, name, wanted[name]) for name in names]
        connection.execute(insert(table).from_select(names, select(*values).select_from(numbers)))


def settle(engine: Engine) -> None:
    """Run the maintenance that follows many inserts now, so that it does not disturb the measurements."""
    words = {"postgresql": "VACUUM ANALYZE", "sqlite": "PRAGMA wal_checkpoint(TRUNCATE)"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(words[engine.dialect.name]))


def _numbers(first: int, last: int) -> CTE:
    """The numbers from first to last, in a column `k`."""
    begin = select(literal(first).label("k")).cte("numbers", recursive=True)
    return begin.union_all(select(begin.c.k + 1).where(begin.c.k < last))


def _value(table: Table, name: str, value: Any) -> ColumnElement[Any]:
    if isinstance(value, ColumnElement):
        return value.label(name)
    return (null() if value is None else literal(value, table.c[name].type)).label(name)


def _name(prefix: str, number: Column) -> ColumnElement[str]:
    return literal(prefix, Text()) + cast(number, Text())


def _first(connection: Connection, kind: Any, condition: ColumnElement[bool]) -> Row:
    return dict(connection.execute(select(kind.__table__).where(condition).limit(1)).mappings().one())
