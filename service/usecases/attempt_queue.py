"""Queues the next attempt of a job."""

from __future__ import annotations

from datetime import timedelta

from baton.domain.states import AttemptState, JobState
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit, new_id
from service.usecases import checkpoint_copies
from service.usecases.queue_order import limits_of, place


def queue_attempt(unit: Unit, job: Job, *, after: float, actor: str) -> Attempt:
    """Queue the job's next attempt. It is placed, and may be claimed, `after` seconds from now.

    If the job's first checkpoint is still to be copied, it waits for the end of the copy instead.
    """
    now, copying = unit.now(), checkpoint_copies.wanted(unit, job)
    job.attempts += 1
    attempt = Attempt(
        id=new_id(),
        job_id=job.id,
        number=job.attempts,
        state=AttemptState.QUEUED.value,
        not_before=now + (checkpoint_copies.HELD_BACK if copying else timedelta(seconds=after)),
        created_at=now,
        recovers=job.state == JobState.RECOVERING,
        queue=job.queue,
        job_number=job.number,
        project=job.project,
    )
    if after <= 0 and not copying:
        place(attempt, job, limits_of(unit.session))
    if attempt.number > 1:
        # First write the end of the previous attempt to the database: a unique index allows one live attempt per job.
        unit.session.flush()
    unit.session.add(attempt)
    wait = f" in {after:.0f} s" if after else ""
    wait = f": it waits for {checkpoint_copies.in_words(job)}" if copying else wait
    unit.event(job, "queued", actor, f"attempt {attempt.number} queued{wait}", attempt=attempt.number, after=after)
    return attempt
