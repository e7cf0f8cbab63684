"""Whether a worker is too old for a job: by its spec version, or because it failed to read the job's spec before."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from baton.domain.protocol_versions import CANNOT_READ, FIRST, PROTOCOL
from baton.domain.reasons import Reason
from baton.domain.wire import Finish, Outcome, WorkerInfo
from service.db.base import IS_TOO_OLD
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit, clean

ADVICE = "install there the version of Baton that the service has"


def why_too_old(unit: Unit, job: Job, worker: WorkerInfo) -> str | None:
    """Why the worker cannot run the job, and what to do. None if it can.

    A worker that could not read the job's spec before is skipped until it reports a newer version.
    """
    if worker.spec_version < job.spec_version:
        return (
            f"the job needs a worker that understands version {job.spec_version} of the spec; {worker.name} "
            f"(Baton {worker.version}) understands versions up to {worker.spec_version}: {ADVICE}"
        )
    if job.attempts > 1 and (worker.protocol, worker.spec_version) <= _gave_up_with(unit, job, worker.name):
        return f"{worker.name} (Baton {worker.version}) could not read the job's spec before: {ADVICE}"
    return None


def _gave_up_with(unit: Unit, job: Job, worker: str) -> tuple[int, int]:
    """The newest versions of the worker that could not read the job. (0, 0) if there are none."""
    query = select(Attempt.protocol, Attempt.spec_version).where(
        Attempt.job_id == job.id, Attempt.worker == clean(worker), IS_TOO_OLD
    )
    found = unit.session.execute(query).all()
    return max(((row.protocol or FIRST, row.spec_version or FIRST) for row in found), default=(0, 0))


def those_that_gave_up(unit: Unit, jobs: Collection[str]) -> dict[str, set[str]]:
    """By job id: the workers that could not read the job's spec."""
    query = select(Attempt.job_id, Attempt.worker).where(Attempt.job_id.in_(jobs), IS_TOO_OLD)
    found: dict[str, set[str]] = {}
    for job_id, worker in unit.session.execute(query):
        found.setdefault(job_id, set()).add(worker or "")
    return found


def is_too_old(attempt: Attempt, message: Finish) -> bool:
    """Whether a worker with an older protocol reports, with an older reason, that it cannot read the spec.

    The service has checked the spec, so this is not the user's error.
    """
    refuses = message.outcome is Outcome.FAILED and message.reason is Reason.UNSUPPORTED
    return refuses and (attempt.protocol or FIRST) < PROTOCOL and message.message.startswith(CANNOT_READ)
