"""Rows of jobs and of `pass_failures`, for tests of items that fail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

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
