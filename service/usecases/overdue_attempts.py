"""Ends attempts that hold their job beyond `limits.max_runtime`, where their workers do not."""

from __future__ import annotations

from baton.domain.policies import Reason
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.uptime import Served
from service.db.unit_of_work import Unit
from service.usecases import max_runtime
from service.usecases.attempt_outcomes import give_up


def end_overrun(unit: Unit, attempt_id: str, actor: str, served: Served, patience: float) -> bool:
    """End an attempt that held its job beyond the limit, and the job. False if it ended or has time left.

    The worker has `patience` seconds from the limit on to save and to end the attempt itself.
    """
    job, attempt = unit.lock_attempt(attempt_id)
    if attempt.state not in HELD_ATTEMPTS:
        return False
    text = max_runtime.overran(unit, job, attempt, served, patience)
    if text is None:
        return False
    give_up(unit, attempt_id, attempt.fence or 0, Reason.MAX_RUNTIME, text, actor)
    return True
