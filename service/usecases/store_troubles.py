"""Store errors that a worker reports while it retries. The status, the event and the overdue text show them."""

from __future__ import annotations

from baton.domain.lenient_reading import find_stored
from baton.domain.store_identity import SLOW, Trouble
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit, actor_of, clean


def follow(unit: Unit, job: Job, attempt: Attempt, reported: Trouble | None) -> None:
    """Store the trouble in the heartbeat's report. Writes an event when the cause changes and when the trouble ends.

    A slow call is shown in the status but writes no event: a large upload is not a failure.
    """
    before, now = _failure(trouble_of(attempt)), _failure(reported)
    attempt.trouble = None if reported is None else reported.model_dump()
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
    """The trouble that the worker reported last."""
    return find_stored(Trouble, attempt.trouble)


def status_text(doing: str | None, reported: Trouble | None) -> str | None:
    """The job's status text while the attempt is held. A trouble has priority over other texts."""
    return clean("; ".join(filter(None, [str(reported) if reported else "", doing]))) or None
