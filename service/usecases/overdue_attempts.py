"""Ends attempts that exceed `limits.max_runtime`, if their workers do not end them in time."""

from __future__ import annotations

from baton.domain.policies import Reason
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.uptime import Served
from service.db.unit_of_work import Unit
from service.usecases import max_runtime
from service.usecases.attempt_outcomes import give_up


def end_overrun(unit: Unit, attempt_id: str, actor: str, served: Served, patience: float) -> bool:
    """End an attempt that exceeds the limit, and fail its job. False if it has ended or has time left.

    After the limit the worker has `patience` seconds to save and to end the attempt itself.
    """
    job, attempt = unit.lock_attempt(attempt_id)
    if attempt.state not in HELD_ATTEMPTS:
        return False
    text = max_runtime.overran(unit, job, attempt, served, patience)
    if text is None:
        return False
    give_up(unit, attempt_id, attempt.fence or 0, Reason.MAX_RUNTIME, text, actor)
    return True
