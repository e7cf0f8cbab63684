"""Faults of shared parts: the leading replica, the database, its clock, the store, single rows."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from baton.domain.states import DesiredState
from service.db.engine import Database
from service.db.leader_table import Leader
from service.db.tables import Attempt, Job
from service.db.types import db_now
from tests.control_plane.backlog import OWN_PREFIX
from tests.control_plane.cluster import Link
from tests.control_plane.fault_schedule import ScheduledFault
from tests.control_plane.processes import wake_service

if TYPE_CHECKING:
    from tests.control_plane.fault_injector import FaultInjector

STEP_SECONDS = 45 * 60.0
"""Forward and back together stay below the time after which the objects of a deleted job are deleted: two hours."""
POISON_PREFIX = f"{OWN_PREFIX}poison-"
_Act = Callable[[], None]

POISONS: tuple[tuple[type[Job | Attempt], dict[str, Any]], ...] = (
    (Job, {"spec": []}),
    (Job, {"spec": {"retry": {"max_failures": "many", "unknown": 1}, "notify": {"when": ["nonsense"]}}}),
    (Job, {"furthest": "somewhere"}),
    (Job, {"needs": 5}),
    (Attempt, {"phase": "dreaming"}),
    (Attempt, {"seconds": [1, 2]}),
    (Attempt, {"ending": {"reason": "unheard_of"}}),
)


def freeze_leader(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Send SIGSTOP to the leading replica for longer than its lease, then SIGCONT."""
    injector.whole("database")
    with injector.cluster.database.read() as session:
        holder = session.scalar(select(Leader.holder))
    pids = {service.process.pid: service for service in injector.cluster.services if service.process is not None}
    service = pids.get(int(holder.split(":")[-2])) if holder else None
    if service is None:
        injector.nothing()
    injector.whole(service)
    os.kill(service.process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
    return injector.hit(service, lambda: wake_service(service))


def stop_database(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Stop the server cleanly, and start it again."""
    server = injector.cluster.postgres
    if server is None:
        injector.nothing()
    injector.whole("database")
    server.stop()
    return injector.hit("database", server.start)


def step_clock(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Set the database's clock by STEP_SECONDS, forward or back, and later set it back to the right time."""
    if injector.cluster.postgres is None:
        injector.nothing()
    injector.whole("database")
    forward = injector.counts[fault.kind] % 2 == 0
    injector.cluster.step_clock(STEP_SECONDS if forward else -STEP_SECONDS)
    return injector.hit("database", lambda: injector.cluster.step_clock(0.0))


def hang_store(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Hold back all requests to the store."""
    lines = [injector.cluster.links[Link.WORKER_STORE], injector.cluster.links[Link.SERVICE_STORE]]
    for line in lines:
        injector.whole(line)
    for line in lines:
        line.stall()
    repaired = [injector.hit(line, line.flow) for line in lines]

    def repair() -> None:
        for one in repaired:
            one()

    return repair


def poison_row(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Damage a row of a job whose worker is gone, for as long as jobs of users are open.

    If the row blocks other jobs, these are still open at the end. Then the row is repaired, and the job is cancelled.
    """
    injector.whole("database")
    table, values = POISONS[fault.target % len(POISONS)]
    database = injector.cluster.database
    job_id, before = _poisoned(database, table, values)
    injector.poisoned[job_id] = lambda: _mend(database, job_id, table, before)
    return lambda: None


def _poisoned(database: Database, table: type[Job | Attempt], values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A copy of a steady worker's job with an expired lease.

    Return its id, and the old values of the damaged columns.
    """
    job_id = uuid.uuid4().hex
    with database.write() as session:
        steady = session.scalars(select(Job).where(Job.name.startswith(f"{OWN_PREFIX}steady")).limit(1)).one()
        held = session.scalars(select(Attempt).where(Attempt.job_id == steady.id).limit(1)).one()
        job = {**_row(steady), "id": job_id, "name": f"{POISON_PREFIX}{job_id[:8]}"}
        number = job.pop("number")
        attempt = {
            **_row(held),
            "id": uuid.uuid4().hex,
            "job_id": job_id,
            "job_number": number,
            "claim_id": uuid.uuid4().hex,
            "worker": "gone",
            "lease_expires_at": db_now(),
        }
        rows = {Job: job, Attempt: attempt}
        before = {name: rows[table][name] for name in values}
        rows[table].update(values)
        session.execute(insert(Job).values(**job))
        session.execute(insert(Attempt).values(**attempt))
    return job_id, before


def _mend(database: Database, job_id: str, table: type[Job | Attempt], before: dict[str, Any]) -> None:
    key = Job.id if table is Job else Attempt.job_id
    with database.write() as session:
        session.execute(update(table).where(key == job_id).values(**before))
        session.execute(update(Job).where(Job.id == job_id).values(desired=DesiredState.CANCEL.value))


def _row(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def old_worker(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Replace a worker by one of the previous release for a while. Both are killed at their end."""
    worker = injector.cluster.workers[fault.target % len(injector.cluster.workers)]
    injector.whole(worker)
    worker.kill_group()
    worker.settings["BATON_FAKE_OLD"] = "1"
    injector.start_worker(worker)

    def repair() -> None:
        worker.kill_group()
        del worker.settings["BATON_FAKE_OLD"]
        injector.start_worker(worker)

    return injector.hit(worker, repair)
