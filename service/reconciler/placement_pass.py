"""Places queued attempts in their queues after their backoff. Works in the database only, in bounded batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select, Text, bindparam, cast, select, update
from sqlalchemy.orm import Session

from service.db.base import IS_UNPLACED
from service.db.engine import Database
from service.db.tables import Attempt, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit, unlocked
from service.reconciler.isolation import Isolation, Item, ready
from service.usecases.attempt_limits import Limits
from service.usecases.queue_backlog import of_line, stale_lines
from service.usecases.queue_order import key_of, requirements, urgency_of

STEP = "placing"
BATCH = 1000
FUTURE = 100
"""The step checks this many of the latest backoffs for signs that the clock was set back."""

CLOCK_SECONDS = timedelta(minutes=1)
STALE_LINES = 20
STALE_EVERY_SECONDS = 5.0


def place_due(database: Database, isolation: Isolation, limits: Limits) -> None:
    """Place attempts whose `not_before` has passed, and attempts that an older release queued."""
    with database.read() as session:
        rows = _due(session)
    failed: dict[str, Exception] = {}
    values = []
    for row in rows:
        try:
            values.append(_place(row, limits))
        except (ValueError, TypeError) as error:
            failed[row.id] = error
    if values:
        _write(database, values)

    def check(attempt_id: str) -> None:
        if attempt_id in failed:
            raise failed[attempt_id]

    isolation.each(STEP, [Item(row.id, row.job_id) for row in rows], check)


def take_stale(database: Database, limits: Limits) -> None:
    """Take attempts out of their queues if the set of limited labels has changed. The reconciler places them again."""
    with database.read() as session:
        stale = stale_lines(session, limits)[:STALE_LINES]
    for line in stale:
        some = select(Attempt.id).where(of_line(line)).order_by(Attempt.job_number).limit(BATCH)
        some = some.with_for_update(skip_locked=True)
        with database.write() as session:
            taken = update(Attempt).where(Attempt.id.in_(some)).values(urgency=None, needs_key=None)
            session.execute(taken, execution_options={"synchronize_session": False})


def _unplaced() -> Select[*tuple[Any, ...]]:
    # Read needs and labels as text, so that invalid JSON is a failure of one job and not of the whole query.
    texts = (cast(Job.needs, Text).label("needs"), cast(Job.labels, Text).label("labels"))
    of_job = (Job.number.label("job_number"), Job.queue, Job.project, Job.priority, Job.spec_version)
    columns = (Attempt.id, Attempt.job_id, Attempt.number, Attempt.not_before, Attempt.created_at)
    query = select(*columns, *of_job, *texts).join(Job, Job.id == Attempt.job_id).where(IS_UNPLACED)
    return query.where(ready(STEP, Attempt.id))


# Built once, because every pass runs them.
_DUE = _unplaced().where(Attempt.not_before <= db_now()).order_by(Attempt.not_before).limit(BATCH)
_LATEST = _unplaced().order_by(Attempt.not_before.desc()).limit(FUTURE)


def _due(session: Session) -> Sequence[Row[Any]]:
    rows: list[Row[Any]] = [*session.execute(_DUE)]
    # If an attempt was queued in the future, the clock was set back. Place it now: otherwise its wait would grow.
    late: list[Row[Any]] = [*session.execute(_LATEST)]
    if not late:
        return rows
    now, seen = Unit(session).now(), {row.id for row in rows}
    return rows + [row for row in late if row.created_at > now + CLOCK_SECONDS and row.id not in seen]


def _place(row: Row[Any], limits: Limits) -> dict[str, Any]:
    required = requirements(json.loads(row.needs), row.spec_version, json.loads(row.labels), limits)
    return {
        "of": row.id,
        "seen": row.not_before,
        "queue": row.queue,
        "project": row.project,
        "needs_key": key_of(required, limits),
        "urgency": urgency_of(row.priority, row.number),
        "job_number": row.job_number,
    }


def _write(database: Database, values: list[dict[str, Any]]) -> None:
    attempts = Attempt.__table__
    names = ("queue", "project", "needs_key", "urgency", "job_number")
    # Skip attempts that got a new backoff meanwhile.
    same = (attempts.c.id == bindparam("of"), IS_UNPLACED, attempts.c.not_before == bindparam("seen"))
    query = update(attempts).where(*same).values({name: bindparam(name) for name in names})  # type: ignore[arg-type]
    with database.write() as session:
        free = set(unlocked(session, Attempt, [value["of"] for value in values]))
        if free:
            session.connection().execute(query, [value for value in values if value["of"] in free])
