"""Claims an attempt by compare-and-set, and renews its lease with each heartbeat."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Interval, case, func, literal, select, update
from sqlalchemy.orm import Session

from baton.domain.checkpoint_cadence import seconds_between_interruptions
from baton.domain.extensions import missing
from baton.domain.lenient_reading import mapping, names
from baton.domain.protocol_versions import PROTOCOL, known
from baton.domain.spec import granted_spec
from baton.domain.states import (
    HELD_ATTEMPTS,
    AttemptEvent,
    AttemptState,
    DesiredState,
    JobEvent,
    next_attempt_state,
)
from baton.domain.uptime import Served
from baton.domain.wire import (
    TRAINS,
    Beat,
    CheckpointRef,
    Claim,
    Directive,
    Grant,
    Heartbeat,
    Phase,
    Position,
)
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Checkpoint, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit, actor_of, plain
from service.errors import Conflict, LimitReached, NotInstalled, PassedOver, WorkerTooOld
from service.principal import WORKERS, Principal
from service.usecases import attempt_totals, checkpoint_copies, max_runtime, origins, progress, store_troubles
from service.usecases.attempt_limits import Limits
from service.usecases.checkpoints import restart
from service.usecases.history import start_stage
from service.usecases.queue_order import unplace
from service.usecases.startable_attempts import full
from service.usecases.worker_avoidance import why_passed_over
from service.usecases.worker_versions import why_too_old
from service.usecases.workers import saw, saw_again

SLACK_SECONDS = 1.0
RENEWED_AT_ONCE = 1_000
DIRECTIVES = {
    DesiredState.RUN.value: Directive.CONTINUE,
    DesiredState.PAUSE.value: Directive.PAUSE,
    DesiredState.CANCEL.value: Directive.CANCEL,
}


@dataclass(frozen=True)
class Terms:
    """The settings of a grant. Times in seconds."""

    lease: float
    heartbeat: float
    limits: Limits = field(default_factory=Limits)


def claim(unit: Unit, attempt_id: str, message: Claim, terms: Terms, caller: Principal = WORKERS) -> Grant:
    """Give a queued attempt to one worker. A repeated claim gets the same grant.

    Raises:
        LimitReached: a limit is reached; `send_again` offers the attempt again later.
        NotInstalled: the worker lacks an extension that the job needs; another worker may have it.
        WorkerTooOld: the worker does not understand the job's spec; a newer worker may.
        PassedOver: the job's last attempt ended on this worker for a reason that may not affect another worker.
        Conflict: the attempt cannot be claimed.
        Forbidden: the caller is bound to other queues.
        NotFound: the attempt does not exist, or is in another project than the caller.
    """
    job, attempt = unit.lock_attempt(attempt_id)
    caller.check_queues([job.queue])
    if attempt.claim_id == message.claim_id and attempt.state in HELD_ATTEMPTS:
        return _grant(unit, job, attempt, terms)
    now = unit.now()
    if attempt.state != AttemptState.QUEUED:
        raise Conflict(f"attempt {attempt.number} is {attempt.state}: nothing to claim")
    if checkpoint_copies.is_pending(unit, job):
        raise Conflict(f"attempt {attempt.number} waits for {checkpoint_copies.in_words(job)}")
    if attempt.urgency is None and attempt.not_before > now:
        raise Conflict(f"attempt {attempt.number} waits until {attempt.not_before.isoformat()}")
    lacking = missing(names(job.needs), message.worker.extensions)
    if lacking:
        text = f"attempt {attempt.number} needs extensions that are not installed on this worker"
        raise NotInstalled(f"{text}: {', '.join(lacking)}")
    too_old = why_too_old(unit, job, message.worker)
    if too_old:
        raise WorkerTooOld(f"attempt {attempt.number} is not for this worker: {too_old}")
    passed_over = why_passed_over(unit, job, message.worker)
    if passed_over:
        raise PassedOver(f"attempt {attempt.number} is not for this worker yet: {passed_over}")
    place = full(unit, terms.limits, job)
    if place is not None:
        raise LimitReached(f"attempt {attempt.number} waits: {place} is at its limit of {place.most}")
    # Read the clock again: `full` may have waited for other claims, and the lease must not start before the wait.
    _take(unit, job, attempt, message, unit.now() + timedelta(seconds=terms.lease))
    saw(unit, message.worker, busy=True, now=now)
    return _grant(unit, job, attempt, terms)


def send_again(unit: Unit, attempt_id: str, after: float = 0.0) -> None:
    """Send an attempt's message again, at the earliest `after` seconds from now. A worker took it without a claim."""
    _, attempt = unit.lock_attempt(attempt_id)
    if attempt.state == AttemptState.QUEUED:
        attempt.dispatched_at = None
        if after > 0:
            attempt.not_before = max(attempt.not_before, unit.now() + timedelta(seconds=after))
            unplace(attempt)


def _take(unit: Unit, job: Job, attempt: Attempt, message: Claim, expires: datetime) -> None:
    unit.move_job(job, JobEvent.CLAIMED)
    state = next_attempt_state(AttemptState(attempt.state), AttemptEvent.CLAIMED)
    start, now = unit.good_checkpoints(job.id)[:1], unit.now()
    job.fence += 1
    # The job's row lock already excludes other claims. The compare-and-set keeps this true if a caller omits the lock.
    _compare_and_set(
        unit,
        attempt,
        state=state.value,
        fence=job.fence,
        claim_id=message.claim_id,
        worker=message.worker.name,
        device=message.worker.device,
        protocol=message.worker.protocol,
        spec_version=message.worker.spec_version,
        phase=Phase.STARTING.value,
        claimed_at=now,
        beat_at=now,
        lease_expires_at=expires,
        start_step=start[0].global_step if start else 0,
    )
    job.started_at = job.started_at or now
    job.sweep_at = job.sweep_at or now
    job.reason = job.message = None
    if not start and unit.had_checkpoints(job.id):
        restart(unit, job, actor_of(attempt))
    job.phase = Phase.STARTING.value
    text = f"attempt {attempt.number} claimed by {message.worker.name}"
    data = {
        "attempt": attempt.number,
        "fence": job.fence,
        "worker": message.worker.name,
        "device": message.worker.device,
    }
    unit.event(job, "claimed", actor_of(attempt), text, **data)


def _compare_and_set(unit: Unit, attempt: Attempt, **values: Any) -> None:
    query = update(Attempt).where(Attempt.id == attempt.id, Attempt.state == AttemptState.QUEUED.value).values(**values)
    changed = cast("CursorResult[Any]", unit.session.execute(query, execution_options={"synchronize_session": False}))
    if changed.rowcount != 1:
        raise Conflict(f"attempt {attempt.number} was claimed by another worker")
    unit.session.refresh(attempt)


def reference(row: Checkpoint) -> CheckpointRef:
    """A checkpoint as a grant contains it."""
    position = Position(stage=row.stage, epoch=row.epoch, step=row.step, global_step=row.global_step)
    return CheckpointRef(
        id=row.id, prefix=row.prefix, manifest_crc32c=row.manifest_crc32c, position=position, fence=row.fence
    )


def _grant(unit: Unit, job: Job, attempt: Attempt, terms: Terms) -> Grant:
    return Grant(
        attempt_id=attempt.id,
        job_id=job.id,
        attempt=attempt.number,
        fence=attempt.fence or 0,
        lease_seconds=terms.lease,
        heartbeat_seconds=terms.heartbeat,
        spec=granted_spec(mapping(job.spec)),
        checkpoints=tuple(reference(row) for row in unit.good_checkpoints(job.id)),
        seconds_between_interruptions=seconds_between_interruptions(
            attempt_totals.of_job(unit, job, live=True).held, job.preemptions
        ),
        runtime_left=max_runtime.left(unit, job, attempt),
        start=origins.start_of(job),
        protocol=PROTOCOL,
    )


def heartbeat(unit: Unit, attempt_id: str, message: Heartbeat, lease: float) -> Beat:
    """Renew the lease and store what the worker reports. Raises LeaseLost.

    An expired lease is renewed too: until the reconciler ends the attempt, no other attempt of the job can exist.
    """
    job, attempt = unit.held(attempt_id, message.fence)
    now, renewed = unit.now(), attempt.lease_expires_at
    attempt.lease_expires_at = now + timedelta(seconds=lease)
    _heard_of(unit, job, attempt, now)
    if not progress.overtaken(attempt, message):
        _follow(unit, job, attempt, message)
    if _in_another_half(renewed, attempt.lease_expires_at, lease):
        saw_again(unit, attempt.worker, now)
    return Beat(directive=DIRECTIVES[job.desired], lease_seconds=lease, protocol=PROTOCOL)


def _follow(unit: Unit, job: Job, attempt: Attempt, message: Heartbeat) -> None:
    """Store what a heartbeat reports. The caller skips heartbeats that arrive out of order."""
    # An unknown phase, from a newer worker, is not stored: the previous phase stays.
    phase = known(Phase, message.phase) or known(Phase, attempt.phase) or Phase.STARTING
    before = mapping(job.progress).get("stage") if attempt.state == AttemptState.RUNNING else None
    _follow_phase(unit, job, attempt, phase)
    _keep_progress(job, attempt, message)
    store_troubles.follow(unit, job, attempt, message.trouble)
    if phase in TRAINS and message.progress is not None and message.progress.stage != before:
        start_stage(unit, job, message.progress.stage, actor_of(attempt))


def _in_another_half(before: datetime | None, after: datetime, lease: float) -> bool:
    """Whether to update the worker's row. Its readers need only one update per half lease."""
    return before is None or before.timestamp() // (lease / 2) != after.timestamp() // (lease / 2)


def _heard_of(unit: Unit, job: Job, attempt: Attempt, now: datetime) -> None:
    attempt.beat_at = now
    if attempt.silent_since is not None:
        seconds = max(0.0, (now - attempt.silent_since).total_seconds())
        attempt.silent_since = None
        text = f"worker {attempt.worker} sent a heartbeat again after {seconds:.0f} s"
        unit.event(job, "worker_back", actor_of(attempt), text, attempt=attempt.number, silent_seconds=seconds)


def renew_after_outage(session: Session, served: Served, lease: float) -> int:
    """Renew the lease of each held attempt to a full lease from the end of an outage. Returns the number of changes.

    Skips rows that another transaction holds. That transaction renews the lease or ends it, or the next call does.
    """
    floor = served.since + timedelta(seconds=lease)
    latest = _ahead(session, served, lease)
    early = Attempt.lease_expires_at < floor
    if served.long_before is not None:
        early &= func.coalesce(Attempt.beat_at, Attempt.claimed_at) >= served.long_before
    # The clock was set back: a lease with an end far in the future would hide the death of the worker.
    late = Attempt.lease_expires_at > _ahead(session, served, lease + SLACK_SECONDS)
    found = select(Attempt.id).where(IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS), early | late)
    rows = found.limit(RENEWED_AT_ONCE).with_for_update(skip_locked=True)
    query = update(Attempt).where(Attempt.id.in_(rows)).values(lease_expires_at=case((early, floor), else_=latest))
    return cast("CursorResult[Any]", session.execute(query, execution_options={"synchronize_session": False})).rowcount


def _ahead(session: Session, served: Served, seconds: float) -> Any:
    """The time this many seconds from now. On PostgreSQL the statement itself reads the clock, because this replica may
    be suspended before the statement while another replica renews leases. A SQLite file has only one replica.
    """
    if session.get_bind().dialect.name == "postgresql":
        return db_now() + literal(timedelta(seconds=seconds), Interval())
    return served.now + timedelta(seconds=seconds)


def _follow_phase(unit: Unit, job: Job, attempt: Attempt, phase: Phase) -> None:
    state, actor = AttemptState(attempt.state), actor_of(attempt)
    attempt.phase = job.phase = phase.value
    if phase in TRAINS and state is AttemptState.STARTING:
        attempt.state = next_attempt_state(state, AttemptEvent.STARTED).value
        attempt.started_at, job.restore_failures = unit.now(), 0
        unit.move_job(job, JobEvent.STARTED)
        unit.event(job, "started", actor, f"attempt {attempt.number} trains", attempt=attempt.number)
    elif phase is Phase.STOPPING and state is not AttemptState.STOPPING:
        attempt.state = next_attempt_state(state, AttemptEvent.STOPPING).value
        unit.event(job, "stopping", actor, f"attempt {attempt.number} stops", attempt=attempt.number)


def _keep_progress(job: Job, attempt: Attempt, message: Heartbeat) -> None:
    sent = plain(message)
    attempt.seconds = sent["seconds"] or attempt.seconds
    # The final message comes with the end of the attempt. Until then the column holds its current activity.
    attempt.message = store_troubles.status_text(message.doing, message.trouble)
    attempt.interval_seconds = message.interval_seconds or attempt.interval_seconds
    progress.keep(job, attempt, sent["progress"], sent["metrics"])
    job.version += 1
