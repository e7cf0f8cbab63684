"""Trouble that a worker tells of: calls to the store that fail and are repeated. Status, event and overdue name it."""

from __future__ import annotations

from core.domain.store_identity import SLOW, Trouble
from core.domain.stored import find_stored
from service.db.tables import Attempt, Job
from service.db.unit import Unit, actor_of, clean


def follow(unit: Unit, job: Job, attempt: Attempt, told: Trouble | None) -> None:
    """Keep what the heartbeat tells. One event for each change of the cause, and one when all works again.

    What is slow is in the status and in no event: a large upload is no failure.
    """
    before, now = _failure(trouble_of(attempt)), _failure(told)
    attempt.trouble = None if told is None else told.model_dump()
    data = {"attempt": attempt.number}
    if now is None:
        if before is not None:
            text = f"{before.what} works again, after {before.seconds:.0f} s or more"
            unit.event(job, "store_works_again", actor_of(attempt), text, **data)
    elif before is None or (before.what, before.cause) != (now.what, now.cause):
        unit.event(job, "store_failing", actor_of(attempt), str(now), cause=now.cause, what=now.what, **data)


def _failure(trouble: Trouble | None) -> Trouble | None:
    return None if trouble is None or trouble.cause == SLOW else trouble


def trouble_of(attempt: Attempt) -> Trouble | None:
    """What the worker told last."""
    return find_stored(Trouble, attempt.trouble)


def status_text(doing: str | None, told: Trouble | None) -> str | None:
    """What the job's status says while the attempt is held: the trouble first."""
    return clean("; ".join(filter(None, [str(told) if told else "", doing]))) or None
