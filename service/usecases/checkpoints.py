"""Commits, quarantines and retires checkpoints. A checkpoint exists if and only if its row is committed."""

from __future__ import annotations

from sqlalchemy import exists, select

from baton.domain.errors import FieldError
from baton.domain.lenient_reading import find_stored, mapping, names, read_stored
from baton.domain.manifest import checkpoint_parts
from baton.domain.spec import CheckpointSpec
from baton.domain.states import HELD_ATTEMPTS, CheckpointState
from baton.domain.wire import CheckpointCommit, CheckpointRole, Position, Quarantine
from service.db.base import IS_COMMITTED
from service.db.tables import Attempt, Checkpoint, Job, Pointer
from service.db.unit_of_work import Unit, actor_of, new_id, resumable
from service.errors import BadMessage, Conflict, NotFound
from service.usecases import attempt_totals, checkpoint_copies, goodput, usage


def commit(unit: Unit, attempt_id: str, message: CheckpointCommit) -> tuple[Checkpoint, bool]:
    """Commit a checkpoint. The flag: whether it is new. Raises LeaseLost, BadMessage, Conflict."""
    job, attempt = unit.held(attempt_id, message.fence)
    query = select(Checkpoint).where(Checkpoint.job_id == job.id, Checkpoint.prefix == message.prefix)
    known = unit.session.scalar(query)
    if known is not None:
        return known, False
    if not _fits(job.id, message):
        raise BadMessage([FieldError("prefix", "is not the name of a checkpoint of this job, step and fence")])
    _check_needs(unit, job, message)
    row = _row(unit, job, attempt, message)
    unit.session.add(row)
    unit.session.flush()
    for role in row.roles:
        point(unit, job.id, role, row.id)
    _count_progress(job, attempt, message.position)
    attempt.covered_seconds = max(attempt.covered_seconds, message.trained_seconds)
    _log(unit, job, attempt, row)
    _clear_overdue(unit, job, attempt, row)
    retire(unit, job)
    return row, True


def is_new(unit: Unit, attempt_id: str, message: CheckpointCommit) -> bool:
    """Whether `commit` would add a checkpoint. False if it would refuse the message or already has the checkpoint.

    Called before the check of the store. A worker without a lease then gets LeaseLost and not a store error.
    A repeated commit succeeds even if its objects are deleted by now.
    """
    job_id = _held_job(unit, attempt_id, message.fence)
    if job_id is None or not _fits(job_id, message):
        return False
    known = exists().where(Checkpoint.job_id == job_id, Checkpoint.prefix == message.prefix)
    return not unit.session.scalar(select(known))


def _held_job(unit: Unit, attempt_id: str, fence: int) -> str | None:
    query = select(Attempt.job_id).where(Attempt.id == attempt_id, Attempt.fence == fence)
    return unit.session.scalar(query.where(Attempt.state.in_(HELD_ATTEMPTS)))


def usable(unit: Unit, attempt_id: str, fence: int) -> list[str]:
    """Prefixes of the job's committed checkpoints, newest first. Empty unless the attempt is held with this token."""
    job_id = _held_job(unit, attempt_id, fence)
    if job_id is None:
        return []
    query = select(Checkpoint.prefix).where(IS_COMMITTED, Checkpoint.job_id == job_id)
    return list(unit.session.scalars(query.order_by(Checkpoint.number.desc())))


def _fits(job_id: str, message: CheckpointCommit) -> bool:
    parts = checkpoint_parts(message.prefix)
    return parts is not None and parts[:3] == (job_id, message.position.global_step, message.fence)


def _check_needs(unit: Unit, job: Job, message: CheckpointCommit) -> None:
    if not message.needs:
        return
    # The lock on the job's row keeps `retire` from marking these checkpoints as deleted in the meantime.
    missing = set(message.needs) - {row.prefix for row in unit.good_checkpoints(job.id)}
    if missing:
        raise Conflict(f"the checkpoint needs {min(missing)}, which no longer exists")


def _row(unit: Unit, job: Job, attempt: Attempt, message: CheckpointCommit) -> Checkpoint:
    position = message.position
    return Checkpoint(
        id=new_id(),
        job_id=job.id,
        attempt_id=attempt.id,
        fence=message.fence,
        prefix=message.prefix,
        manifest_crc32c=message.manifest_crc32c,
        stage=position.stage,
        epoch=position.epoch,
        step=position.step,
        global_step=position.global_step,
        bytes=message.bytes,
        seconds=message.seconds,
        stall_seconds=message.stall_seconds,
        trained_seconds=message.trained_seconds,
        roles=[str(role) for role in message.roles],
        needs=list(message.needs),
        state=CheckpointState.COMMITTED.value,
        committed_at=unit.now(),
    )


def point(unit: Unit, job_id: str, role: str, checkpoint_id: str) -> None:
    """Set a pointer to the checkpoint."""
    unit.session.merge(Pointer(job_id=job_id, role=role, checkpoint_id=checkpoint_id))


def _count_progress(job: Job, attempt: Attempt, position: Position) -> None:
    attempt.end_step = position.global_step
    furthest = find_stored(Position, job.furthest)
    if furthest is None or furthest < position:
        job.furthest = position.model_dump()
        job.without_progress = 0
        attempt.progressed = True


def _log(unit: Unit, job: Job, attempt: Attempt, row: Checkpoint) -> None:
    text = f"checkpoint at step {row.global_step} committed"
    data = {"checkpoint": row.id, "global_step": row.global_step, "fence": row.fence, "roles": row.roles}
    unit.event(job, "checkpoint", actor_of(attempt), text, attempt=attempt.number, bytes=row.bytes, **data)


def _clear_overdue(unit: Unit, job: Job, attempt: Attempt, row: Checkpoint) -> None:
    if job.overdue_since is not None:
        waited = (row.committed_at - job.overdue_since).total_seconds()
        job.overdue_since = None
        text = f"checkpoints are committed again, {waited:.0f} s after the overdue checkpoint was detected"
        unit.event(job, "checkpoint_resumed", actor_of(attempt), text, global_step=row.global_step)


def quarantine(unit: Unit, attempt_id: str, message: Quarantine) -> Checkpoint:
    """Exclude a bad checkpoint from all later restores. Raises LeaseLost, NotFound."""
    job, attempt = unit.held(attempt_id, message.fence)
    query = select(Checkpoint).where(Checkpoint.job_id == job.id, Checkpoint.prefix == message.prefix)
    row = unit.session.scalar(query)
    if row is None:
        raise NotFound(f"the job has no checkpoint {message.prefix[:200]!r}")
    if row.state == CheckpointState.COMMITTED:
        row.state = CheckpointState.QUARANTINED.value
        unit.session.flush()
        _fall_back(unit, job)
        what = "is not in the store" if message.missing else "cannot be used"
        text = f"checkpoint at step {row.global_step} {what}: {message.message}"
        unit.event(job, "quarantined", actor_of(attempt), text, checkpoint=row.id, global_step=row.global_step)
        _go_back(unit, job, attempt)
    return row


def _go_back(unit: Unit, job: Job, attempt: Attempt) -> None:
    newest = next(iter(unit.good_checkpoints(job.id)), None)
    goodput.roll_back(unit, job, newest)
    attempt_totals.recount(unit, job)
    usage.divide_again(unit, job)
    attempt.start_step = newest.global_step if newest else 0
    if newest is None:
        job.furthest = None
        restart(unit, job, actor_of(attempt))
    else:
        position = Position(stage=newest.stage, epoch=newest.epoch, step=newest.step, global_step=newest.global_step)
        job.furthest = position.model_dump()


def restart(unit: Unit, job: Job, actor: str) -> None:
    """Show in the job's message and its log that no checkpoint is left, although there were some."""
    job.message = "no checkpoint can be read: starting from the beginning"
    unit.event(job, "restarted", actor, job.message)


def _fall_back(unit: Unit, job: Job) -> None:
    # Checkpoints that need the bad one are unusable too, so check all pointers.
    good = unit.good_checkpoints(job.id)
    usable = {row.id for row in good}
    for role, checkpoint_id in unit.pointers(job.id).items():
        if checkpoint_id in usable:
            continue
        unit.session.delete(unit.session.get_one(Pointer, (job.id, role)))
        unit.session.flush()
        heir = next((row for row in good if role == CheckpointRole.LATEST or role in names(row.roles)), None)
        if heir is not None:
            point(unit, job.id, role, heir.id)


def retire(unit: Unit, job: Job, keep: int | None = None) -> None:
    """Mark checkpoints that are no longer needed as deleted. The reconciler then deletes their objects.

    Kept: the newest `keep` (None: `checkpoint.keep` of the spec) that can be resumed from, those with a pointer, those
    that are being copied into another job, and the checkpoints that they need. Rows are marked before objects are
    deleted, so that no grant or commit refers to a checkpoint with missing objects.
    """
    unit.session.flush()
    committed = unit.committed_checkpoints(job.id)
    good = resumable(committed)
    if keep is None:
        keep = read_stored(CheckpointSpec, mapping(job.spec).get("checkpoint")).keep
    wanted = {row.prefix for row in good[:keep]}
    named = set(unit.pointers(job.id).values())
    wanted |= {row.prefix for row in good if row.id in named}
    kept = with_needs(good, wanted)
    if len(kept) < len(committed):
        kept = with_needs(good, wanted | checkpoint_copies.read_from(unit, job.id))
    for row in committed:
        if row.prefix not in kept:
            row.state = CheckpointState.DELETED.value


def with_needs(rows: list[Checkpoint], wanted: set[str]) -> set[str]:
    """The wanted prefixes and, transitively, those that they need."""
    needs = {row.prefix: names(row.needs) for row in rows}
    kept: set[str] = set()
    pending = list(wanted)
    while pending:
        prefix = pending.pop()
        if prefix not in kept:
            kept.add(prefix)
            pending.extend(needs.get(prefix, ()))
    return kept
