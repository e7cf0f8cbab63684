"""Pauses jobs that reach a limit while a worker holds them, if the worker does not end the attempt itself."""

from __future__ import annotations

from baton.domain.states import HELD_ATTEMPTS, DesiredState
from baton.domain.uptime import Served
from service.db.unit_of_work import Unit
from service.usecases import run_limits
from service.usecases.attempt_outcomes import end_at_limit
from service.usecases.job_control import want


def enforce(unit: Unit, attempt_id: str, actor: str, served: Served, patience: float) -> bool:
    """Pause a job that has reached a limit. False if it has time left, or has ended.

    A worker knows the limits of its claim, and has `patience` seconds after the limit to save and to end the attempt.
    Then the service ends the attempt. If the job was changed since the claim, the worker may know a higher limit: it is
    told to pause at once.
    """
    job, attempt = unit.lock_attempt(attempt_id)
    limit = run_limits.reached(unit, job, attempt)
    if attempt.state not in HELD_ATTEMPTS or limit is None:
        return False
    if run_limits.changed(unit, job, attempt):
        if job.desired != DesiredState.RUN:
            return False
        want(unit, job, DesiredState.PAUSE)
        unit.event(job, "pause_requested", actor, f"pause requested: {limit.text}", reason=limit.reason.value)
        return True
    if not run_limits.passed(limit, attempt, served, patience):
        return False
    late = f"{limit.text}; worker {attempt.worker} did not end within {patience:.0f} s: its attempt was ended"
    end_at_limit(unit, job, attempt, actor, limit.reason, late)
    return True
