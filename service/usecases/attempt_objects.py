"""Which objects of the store an attempt may read and write: those of its job, and those that its spec pins."""

from __future__ import annotations

from datetime import timedelta

from baton.domain.attempt_objects import in_job, is_log, may_write
from baton.domain.code_bundle import bundle_object
from baton.domain.data_manifest import DATA
from baton.domain.errors import LeaseLost
from baton.domain.lenient_reading import mapping
from baton.domain.states import HELD_ATTEMPTS
from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from service.errors import Forbidden, NotFound
from service.principal import ATTEMPT, HeldAttempt
from service.usecases.pinned_data import pins

LAST_LOG = timedelta(hours=1)
"""For this time after its end, an attempt may still write segments of its log. No other attempt uses their names."""


def check_write(unit: Unit, hold: HeldAttempt, name: str) -> None:
    """Raise Forbidden unless the attempt may write this object, and LeaseLost unless it holds the job now."""
    attempt = _attempt(unit, hold)
    if not may_write(name, hold.job_id, attempt.number, hold.fence):
        raise Forbidden(f"this attempt must not write {name}: it is not an object of this attempt", [ATTEMPT])
    if _is_held(attempt, hold):
        return
    ended = attempt.finished_at
    logs = is_log(name, hold.job_id, attempt.number, hold.fence) and attempt.fence == hold.fence
    if not logs or ended is None or unit.now() > ended + LAST_LOG:
        raise _lost(attempt, hold)


def check_read(unit: Unit, hold: HeldAttempt, name: str) -> list[str]:
    """Raise LeaseLost unless the attempt holds the job now, and Forbidden for an object that is not of its job.

    Returns the digests of the pushed data to one of which the object must belong; none for an object of the job, or
    its code.
    """
    attempt = _attempt(unit, hold)
    if not _is_held(attempt, hold):
        raise _lost(attempt, hold)
    if in_job(name, hold.job_id):
        return []
    job = unit.find_job(hold.job_id, doomed=True)
    if job.code is not None and name == bundle_object(job.code):
        return []
    digests = pins(mapping(job.spec)) if name.startswith(f"{DATA}/") else []
    if not digests:
        raise foreign(name)
    return digests


def foreign(name: str) -> Forbidden:
    """The error for an attempt to read an object of another job."""
    return Forbidden(f"this attempt must not read {name}: its job has no such object", [ATTEMPT])


def _attempt(unit: Unit, hold: HeldAttempt) -> Attempt:
    attempt = unit.session.get(Attempt, hold.attempt_id)
    if attempt is None:
        raise NotFound("there is no such attempt")
    return attempt


def _is_held(attempt: Attempt, hold: HeldAttempt) -> bool:
    return attempt.state in HELD_ATTEMPTS and attempt.fence == hold.fence


def _lost(attempt: Attempt, hold: HeldAttempt) -> LeaseLost:
    return LeaseLost(
        f"fence {hold.fence} is not valid for attempt {attempt.number} (state: {attempt.state}): stop training"
    )
