"""Ends an attempt. Then ends or pauses its job, or queues another attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from baton.domain.lenient_reading import mapping, number_or, read_stored
from baton.domain.notifications import NotificationKind
from baton.domain.protocol_versions import known
from baton.domain.reasons import AT_A_LIMIT, Reason, is_outage
from baton.domain.retry_policy import (
    GiveUp,
    Pause,
    TryAgain,
    after_attempt,
    counts_as_restore_failure,
)
from baton.domain.spec import RetrySpec
from baton.domain.states import (
    HELD_ATTEMPTS,
    AttemptEvent,
    AttemptState,
    DesiredState,
    JobEvent,
    next_attempt_state,
)
from baton.domain.uptime import Served
from baton.domain.wire import Finish, Outcome, Phase
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit, actor_of, clean, plain
from service.errors import Conflict
from service.usecases import attempt_totals, progress, run_limits, usage
from service.usecases.attempt_queue import queue_attempt
from service.usecases.checkpoints import retire
from service.usecases.history import finish_all
from service.usecases.job_control import mark_cancelled, mark_paused, pause_for
from service.usecases.notifications import notify
from service.usecases.retry_inputs import ended_attempt
from service.usecases.worker_versions import is_too_old
from service.usecases.workers import gave_back

EVENTS = {
    Outcome.SUCCEEDED: AttemptEvent.FINISHED,
    Outcome.PREEMPTED: AttemptEvent.PREEMPTED,
    Outcome.FAILED: AttemptEvent.FAILED,
    Outcome.PAUSED: AttemptEvent.PAUSED,
    Outcome.CANCELLED: AttemptEvent.CANCELLED,
}
REASONS = {
    Outcome.PREEMPTED: Reason.PREEMPTED,
    Outcome.FAILED: Reason.EXCEPTION,
    Outcome.PAUSED: Reason.PAUSED,
    Outcome.CANCELLED: Reason.CANCELLED,
}
COUNTED = (AttemptEvent.PREEMPTED, AttemptEvent.LEASE_EXPIRED, AttemptEvent.FAILED)
SET_BACK = timedelta(minutes=1)
"""A time that is later than now by more than this was written before the clock was set back."""

RAISED_SECONDS = 1.0
"""A worker that stops at a limit may stop earlier than the limit by less than this. With more time left, the limit was
raised."""

INTERRUPTIONS = (Reason.PREEMPTED, Reason.LEASE_EXPIRED)
_draw = random.SystemRandom().random


def finish(unit: Unit, attempt_id: str, message: Finish, draw: Callable[[], float] = _draw) -> Attempt:
    """End an attempt as its worker reports. Idempotent for the same message. Raises LeaseLost, Conflict, NotFound."""
    job, attempt = unit.lock_attempt(attempt_id)
    sent = plain(message)
    if attempt.ending is not None and attempt.ending == sent:
        return attempt
    job, attempt = unit.held(attempt_id, message.fence)
    if message.outcome is Outcome.CANCELLED and job.desired != DesiredState.CANCEL:
        raise Conflict("no cancellation of this job was requested")
    attempt.ending = sent
    _keep_results(job, attempt, message)
    # An unknown outcome, from a newer worker, is not the job's fault: it counts as a failure that is retried.
    outcome = known(Outcome, message.outcome)
    reason = message.reason or (REASONS.get(outcome) if outcome else message.outcome)
    if is_too_old(attempt, message):
        reason = Reason.WORKER_TOO_OLD
    event = EVENTS[outcome or Outcome.FAILED]
    if reason == Reason.MAX_RUNTIME:
        # A worker says this at each limit, as a failure, because an older service knows nothing else.
        event, reason = AttemptEvent.PAUSED, _limit_of(unit, job, attempt)
    _end(unit, job, attempt, _End(event, reason, message.message))
    actor = actor_of(attempt)
    _log(unit, job, attempt, actor)
    if message.outcome is Outcome.SUCCEEDED:
        _succeed(unit, job, actor)
    elif message.outcome in (Outcome.PAUSED, Outcome.CANCELLED):
        _obey(unit, job, actor)
    else:
        _try_again_or_not(unit, job, attempt, actor, draw)
    gave_back(unit, attempt.worker)
    return attempt


def _keep_results(job: Job, attempt: Attempt, message: Finish) -> None:
    sent = plain(message)
    job.results = {**mapping(job.results), **sent["results"]}
    attempt.seconds = sent["seconds"] or attempt.seconds
    attempt.phase = known(Phase, sent["phase"]) or attempt.phase
    if message.progress is not None:
        progress.keep(job, attempt, sent["progress"], mapping(mapping(job.progress).get("metrics")))
        attempt.end_step = max(attempt.end_step or 0, message.progress.global_step)


@dataclass(frozen=True)
class _End:
    event: AttemptEvent
    reason: str | None
    message: str


def _end(unit: Unit, job: Job, attempt: Attempt, end: _End) -> None:
    attempt.state = next_attempt_state(AttemptState(attempt.state), end.event).value
    attempt.reason, attempt.message = str(end.reason) if end.reason else None, clean(end.message) or None
    attempt.finished_at = unit.now()
    # Count only failures during the restore: an attempt that ends earlier shows nothing about the checkpoints.
    if attempt.phase == Phase.RESTORING and end.reason is not None:
        job.restore_failures += counts_as_restore_failure(end.reason)
    attempt.phase = job.phase = job.overdue_since = None
    job.failures += end.event is AttemptEvent.FAILED
    job.preemptions += end.reason in INTERRUPTIONS
    attempt_totals.count(unit, job, attempt)
    usage.count(unit, job, attempt)
    if end.event in COUNTED and not attempt.progressed and not (end.reason and is_outage(end.reason)):
        job.without_progress += 1


def _log(unit: Unit, job: Job, attempt: Attempt, actor: str) -> None:
    text = f"attempt {attempt.number} {attempt.state}" + (f": {attempt.message}" if attempt.message else "")
    data = {"attempt": attempt.number, "fence": attempt.fence, "reason": attempt.reason, "end_step": attempt.end_step}
    unit.event(job, f"attempt_{attempt.state}", actor, text, **data)


def _succeed(unit: Unit, job: Job, actor: str) -> None:
    finish_all(unit, job, actor)
    unit.move_job(job, JobEvent.FINISHED)
    job.finished_at, job.without_progress = unit.now(), 0
    job.reason = job.message = None
    unit.event(job, "succeeded", actor, "job succeeded")
    retire(unit, job, keep=0)
    notify(unit, job, NotificationKind.SUCCEEDED)


def _obey(unit: Unit, job: Job, actor: str, text: str | None = None) -> None:
    if job.desired == DesiredState.CANCEL:
        mark_cancelled(unit, job, actor, text)
    elif (limit := run_limits.reached(unit, job)) is not None:
        mark_paused(unit, job, actor, f"{limit.text}; {text}" if text else limit.text, limit.reason)
        notify(unit, job, NotificationKind.FAILED, job.attempts)
    else:
        mark_paused(unit, job, actor, text)


def _try_again_or_not(unit: Unit, job: Job, attempt: Attempt, actor: str, draw: Callable[[], float]) -> None:
    match _verdict(unit, job, attempt, draw):
        case GiveUp(reason=reason, message=text) if job.desired != DesiredState.CANCEL:
            fail(unit, job, reason, text, actor)
        case Pause(reason=reason, message=text) if job.desired == DesiredState.RUN:
            pause_for(unit, job, actor, reason, clean(text))
            notify(unit, job, NotificationKind.FAILED, attempt.number)
        case TryAgain(after=after) if job.desired == DesiredState.RUN:
            unit.move_job(job, JobEvent.INTERRUPTED)
            job.reason, job.message = attempt.reason, attempt.message
            unit.event(job, "recovering", actor, "job recovering", reason=attempt.reason)
            notify(unit, job, NotificationKind.RECOVERING)
            queue_attempt(unit, job, after=after, actor=actor)
        case _:
            _obey(unit, job, actor)


def _verdict(unit: Unit, job: Job, attempt: Attempt, draw: Callable[[], float]) -> TryAgain | GiveUp | Pause:
    if attempt.reason in AT_A_LIMIT:
        limit = run_limits.first(unit, job, attempt)
        raised = limit is None or limit.left > RAISED_SECONDS
        if raised and run_limits.changed(unit, job, attempt):
            return TryAgain(0.0)
        return Pause(Reason(attempt.reason), limit.text if limit else attempt.message or "")
    ended = ended_attempt(unit, job, attempt)
    verdict = after_attempt(ended, read_stored(RetrySpec, mapping(job.spec).get("retry")), draw())
    if isinstance(verdict, TryAgain) and (limit := run_limits.reached(unit, job)) is not None:
        return Pause(limit.reason, limit.text)
    return verdict


def _limit_of(unit: Unit, job: Job, attempt: Attempt) -> Reason:
    """The limit at which a worker has stopped."""
    limit = run_limits.first(unit, job, attempt)
    return limit.reason if limit is not None else Reason.MAX_RUNTIME


def fail(unit: Unit, job: Job, reason: Reason, text: str, actor: str) -> None:
    """Mark the job as failed. Only a retry by a user continues it. Its checkpoints are kept for that."""
    unit.move_job(job, JobEvent.FAILED)
    job.reason, job.message, job.finished_at = reason.value, clean(text), unit.now()
    unit.event(job, "failed", actor, f"job failed: {text}", reason=reason.value)
    notify(unit, job, NotificationKind.FAILED, job.attempts)


@dataclass(frozen=True)
class Lease:
    """Input for lease checks: the time of service uptime that counts, and the duration of a lease in seconds."""

    served: Served
    seconds: float

    def over(self, attempt: Attempt) -> bool:
        """Whether the attempt is held and its lease has expired."""
        if attempt.state not in HELD_ATTEMPTS or attempt.lease_expires_at is None:
            return False
        return self.served.over(attempt.lease_expires_at, attempt.beat_at or attempt.claimed_at, self.seconds)


def give_up(unit: Unit, attempt_id: str, fence: int, reason: Reason, text: str) -> None:
    """End a held attempt and fail its job, because a retry cannot succeed. Raises LeaseLost, NotFound."""
    job, attempt = unit.held(attempt_id, fence)
    actor = actor_of(attempt)
    _end(unit, job, attempt, _End(AttemptEvent.FAILED, reason, text))
    _log(unit, job, attempt, actor)
    if job.desired == DesiredState.CANCEL:
        mark_cancelled(unit, job, actor)
    else:
        fail(unit, job, reason, text, actor)


def end_at_limit(unit: Unit, job: Job, attempt: Attempt, actor: str, reason: Reason, text: str) -> None:
    """End a held attempt and pause its job, because it has reached a limit."""
    _end(unit, job, attempt, _End(AttemptEvent.PAUSED, reason, text))
    _log(unit, job, attempt, actor)
    if job.desired == DesiredState.CANCEL:
        mark_cancelled(unit, job, actor)
    else:
        pause_for(unit, job, actor, reason, clean(text))
        notify(unit, job, NotificationKind.FAILED, attempt.number)


def expire(
    unit: Unit,
    attempt_id: str,
    actor: str,
    lease: Lease,
    seen: datetime | None,
    draw: Callable[[], float] = _draw,
) -> bool:
    """End an attempt whose lease has expired. Returns False if it was renewed or ended meanwhile.

    Uses the time in `lease` and does not read the clock again. `seen`: the end of the attempt's lease, read before the
    clocks were compared for `lease`. If the row now has another value, the lease was renewed, and the attempt is not
    ended. The new value must not be compared with `lease`: if the clock was set back in between, the renewed lease
    would look expired.
    """
    job, attempt = unit.lock_attempt(attempt_id)
    if attempt.lease_expires_at != seen or not lease.over(attempt):
        return False
    text = f"worker {attempt.worker} sent no heartbeat until its lease expired"
    _end(unit, job, attempt, _End(AttemptEvent.LEASE_EXPIRED, Reason.LEASE_EXPIRED, text))
    _log(unit, job, attempt, actor)
    _try_again_or_not(unit, job, attempt, actor, draw)
    return True


@dataclass(frozen=True)
class OrderTimeouts:
    """Seconds that a worker has to carry out an order, by the desired state."""

    cancel: float
    pause: float

    def of(self, desired: str) -> float:
        """The time for this order."""
        return self.cancel if desired == DesiredState.CANCEL else self.pause


def overrule(
    unit: Unit, attempt_id: str, actor: str, served: Served, patience: OrderTimeouts, seen: datetime | None
) -> bool:
    """End an attempt whose worker did not carry out an order in time. False if it did, or still has time.

    The worker has then lost its lease: all its later messages are refused. `seen`: the time of the order, read before
    the clocks were compared for `served`.
    """
    job, attempt = unit.lock_attempt(attempt_id)
    if attempt.state not in HELD_ATTEMPTS or job.desired == DesiredState.RUN or job.desired_at != seen:
        return False
    # An older release recorded no time for the order, or the clock was set back since.
    if job.desired_at is None or job.desired_at > served.now + SET_BACK:
        job.desired_at = served.now
        return False
    if not served.passed(job.desired_at, patience.of(job.desired)):
        return False
    cancel = job.desired == DesiredState.CANCEL
    event, reason = (AttemptEvent.CANCELLED, Reason.CANCELLED) if cancel else (AttemptEvent.PAUSED, Reason.PAUSED)
    text = _unanswered(job, attempt, served)
    _end(unit, job, attempt, _End(event, reason, text))
    _log(unit, job, attempt, actor)
    _obey(unit, job, actor, text if cancel else f"{text}; {_redone(job, attempt)}")
    return True


def _unanswered(job: Job, attempt: Attempt, served: Served) -> str:
    order = "cancellation" if job.desired == DesiredState.CANCEL else "pause"
    waited = _seconds(job.desired_at or served.now, served.now)
    heard = attempt.beat_at or attempt.claimed_at or served.now
    return (
        f"worker {attempt.worker}, last heartbeat {_seconds(heard, served.now):.0f} s ago, "
        f"did not carry out the {order} within {waited:.0f} s: its attempt was ended"
    )


def _seconds(begun: datetime, ended: datetime) -> float:
    return max(0.0, (ended - begun).total_seconds())


def _redone(job: Job, attempt: Attempt) -> str:
    """The work lost by a pause without a final checkpoint. A commit stores its step in `end_step`."""
    kept = attempt.start_step or 0 if attempt.end_step is None else attempt.end_step
    reached = number_or(mapping(job.progress).get("global_step"), -1.0)
    if not reached >= kept:
        return f"the job continues at its last checkpoint, step {kept}"
    return f"the job continues at its last checkpoint, step {kept}: {reached - kept:.0f} steps are repeated"
