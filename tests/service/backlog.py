"""Creates many queued jobs directly in the database, and counts the rows and steps that a read costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event, insert, select

from service.db.tables import Attempt, Job, JobLabel
from service.db.unit_of_work import new_id
from tests.service.helpers import Api


def plant(api: Api, like: str, count: int, **changes: Any) -> None:
    """Insert `count` copies of the job `like` and of its first attempt, which is queued.

    `changes` are columns of the attempts.
    """
    with api.services.database.write() as session:
        job = _values(Job, session.scalars(select(Job).where(Job.id == like)).one())
        attempt = _values(Attempt, session.scalars(select(Attempt).where(Attempt.job_id == like)).one())
        job.pop("number")
        ids = [new_id() for _ in range(count)]
        session.execute(insert(Job), [{**job, "id": job_id} for job_id in ids])
        numbers = {
            row.id: row.number
            for row in session.execute(select(Job.id, Job.number).order_by(Job.number.desc()).limit(count))
        }
        fresh: dict[str, Any] = {"dispatched_at": None, "dispatches": 0}
        of_each = [{**fresh, "id": new_id(), "job_id": one, "job_number": numbers[one]} for one in ids]
        session.execute(insert(Attempt), [{**attempt, **one, **changes} for one in of_each])
        labels = [{"key": key, "value": value} for key, value in job["labels"].items()]
        if labels:
            session.execute(
                insert(JobLabel), [{"job_number": numbers[one], **label} for one in ids for label in labels]
            )


def _values(table: type[Any], row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in table.__mapper__.column_attrs}


@dataclass
class Work:
    """`rows`: rows fetched from the database. `steps`: instructions of SQLite's virtual machine, in hundreds."""

    rows: int = 0
    steps: int = 0


@contextmanager
def counted(*engines: Engine) -> Iterator[Work]:
    """Count what SQLite does, while the context is open, for connections that are taken from these engines."""
    work = Work()

    def row(_cursor: Any, found: tuple[Any, ...]) -> tuple[Any, ...]:
        work.rows += 1
        return found

    def step() -> int:
        work.steps += 1
        return 0

    def taken(connection: Any, *_: Any) -> None:
        connection.row_factory = row
        connection.set_progress_handler(step, 100)

    def given_back(connection: Any, *_: Any) -> None:
        connection.row_factory = None
        connection.set_progress_handler(None, 0)

    for engine in engines:
        event.listen(engine, "checkout", taken)
        event.listen(engine, "checkin", given_back)
    yield work
    for engine in engines:
        event.remove(engine, "checkout", taken)
        event.remove(engine, "checkin", given_back)
