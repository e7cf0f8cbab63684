"""Reads and changes rows of jobs and of `pass_failures`, for tests of items that fail in a pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select, text, update

from service.db.operation_tables import PassFailure
from service.db.tables import Job
from service.db.types import db_now
from tests.service.helpers import Api


def set_job(api: Api, job_id: str, **values: Any) -> None:
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def failures(api: Api) -> dict[tuple[str, str], PassFailure]:
    with api.services.database.read() as session:
        return {(row.step, row.item): row for row in session.scalars(select(PassFailure))}


def due_again(api: Api) -> None:
    with api.services.database.write() as session:
        session.execute(update(PassFailure).values(retry_at=db_now()))


def metric(api: Api, name: str) -> float:
    lines = api.http.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@contextmanager
def poisoned(api: Api, change: str, row: str) -> Iterator[None]:
    """SQLite refuses a change of the rows of `jobs` that meet a condition, such as "OLD.id = '...'" for DELETE."""
    with api.services.database.write() as session:
        refuse = "BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
        session.execute(text(f"CREATE TRIGGER poison BEFORE {change} ON jobs WHEN {row} {refuse}"))
    yield
    with api.services.database.write() as session:
        session.execute(text("DROP TRIGGER poison"))
