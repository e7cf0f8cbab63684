"""Jobs that the tests make themselves, in addition to the orders of users: a backlog that no worker takes, and
damaged rows.
"""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from sqlalchemy import insert, select

from service.db.engine import Database
from service.db.tables import Attempt, Job
from tests.support.fast_jobs import fast

OWN_PREFIX = "own-"
"""The prefix of the names of these jobs. No order of a user has such a name."""

IS_ORDERED = ~Job.name.startswith(OWN_PREFIX)
NOBODYS_QUEUE = "nobodys"
UNKNOWN_NEED = "network/that-nobody-has"
CHUNK = 2_000


def plant_backlog(http: httpx.Client, database: Database, jobs: int) -> None:
    """Fill the queues: half of the jobs are in a queue without workers, the other half needs something that no worker
    has.

    The first job is submitted over REST. The others are copies of its rows, because 20,000 requests would take minutes.
    """
    answer = http.post("/v1/jobs", json=fast(f"{OWN_PREFIX}backlog", queue=NOBODYS_QUEUE, priority="high"))
    answer.raise_for_status()
    with database.read() as session:
        job = _values(session.scalars(select(Job).where(Job.id == answer.json()["id"])).one())
        attempt = _values(session.scalars(select(Attempt).where(Attempt.job_id == job["id"])).one())
    job.pop("number")
    for begun in range(0, jobs, CHUNK):
        _copy(database, job, attempt, range(begun, min(begun + CHUNK, jobs)))


def _copy(database: Database, job: dict[str, Any], attempt: dict[str, Any], numbers: range) -> None:
    ids = {number: uuid.uuid4().hex for number in numbers}
    copies = [{**job, "id": ids[number], **_place(number)} for number in numbers]
    with database.write() as session:
        session.execute(insert(Job), copies)
        made = dict(session.execute(select(Job.id, Job.number).where(Job.id.in_(list(ids.values())))).all())
        attempts = [
            {
                **attempt,
                "id": uuid.uuid4().hex,
                "job_id": job_id,
                "job_number": made[job_id],
                # The service fills these in, as it does with the rows of an older replica.
                "queue": None,
                "needs_key": None,
                "urgency": None,
                "dispatched_at": None,
            }
            for job_id in ids.values()
        ]
        session.execute(insert(Attempt), attempts)


def _place(number: int) -> dict[str, Any]:
    if number % 2:
        return {"queue": NOBODYS_QUEUE}
    return {"queue": "default", "needs": [UNKNOWN_NEED]}


def _values(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
