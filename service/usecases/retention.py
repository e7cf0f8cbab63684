"""Which rows are older than the settings BATON_RETENTION_* allow, and their deletion in small transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)

from baton.domain.manifest import artifact_name
from baton.domain.retention import PrunedView, PruneKind
from baton.domain.states import CheckpointState
from service.db import audit
from service.db.auth_tables import AuditEntry
from service.db.base import IS_COMMITTED, IS_ENDED, IS_LIVE
from service.db.tables import (
    Artifact,
    Attempt,
    Checkpoint,
    Event,
    Garbage,
    IdempotencyKey,
    Job,
    Pointer,
    Series,
    Worker,
)
from service.db.unit_of_work import Unit, unlocked
from service.principal import Principal
from service.usecases import checkpoint_copies, deletion
from service.usecases.artifacts import READER_GRACE

OF_JOBS = (
    PruneKind.JOBS,
    PruneKind.CHECKPOINTS,
    PruneKind.ARTIFACTS,
    PruneKind.EVENTS,
    PruneKind.SERIES,
    PruneKind.LOGS,
)
OF_SERVICE = (PruneKind.AUDIT, PruneKind.WORKERS, PruneKind.KEYS)
COUNTED = 100_000
"""The numbers of a preview stop here, to bound the cost of the query."""

ROWS, FILES = 500, 100
"""Rows and artifacts that one transaction deletes. On SQLite all other writers wait for it."""

_NO_SYNC = {"synchronize_session": False}
_PUBLISHED = Artifact.published == Artifact.object


@dataclass(frozen=True)
class Retention:
    """The settings in seconds. `by_status`: after the end of a job, by kind and status. `by_age`: of other rows."""

    by_status: Mapping[PruneKind, Mapping[str, float]] = field(default_factory=dict)
    by_age: Mapping[PruneKind, float] = field(default_factory=dict)

    def kinds(self) -> list[PruneKind]:
        """The kinds that have a setting."""
        return [kind for kind in PruneKind if self.by_status.get(kind) or kind in self.by_age]


class Place(NamedTuple):
    """The place of a job in the order of ends. A pass continues after this place."""

    finished_at: datetime
    number: int


class Old(NamedTuple):
    """A job that has something to delete, and its place."""

    job_id: str
    place: Place


@dataclass(frozen=True)
class Rule:
    """Jobs with this status keep data of this kind for `seconds` after their end."""

    kind: PruneKind
    status: str
    seconds: float


def old_jobs(unit: Unit, rule: Rule, ready: ColumnElement[bool], after: Place | None, limit: int) -> list[Old]:
    """Jobs that ended too long ago and have something of the kind, oldest first."""
    query = select(Job.id, Job.finished_at, Job.number).where(*_old(unit, rule), ready)
    if after is not None:
        later = tuple_(Job.finished_at, Job.number) > tuple_(*map(literal, after))
        query = query.where(Job.finished_at >= after.finished_at, later)
    rows = unit.session.execute(query.order_by(Job.finished_at, Job.number).limit(limit))
    return [Old(job_id, Place(at, number)) for job_id, at, number in rows if at is not None]


def _old(unit: Unit, rule: Rule) -> list[ColumnElement[bool]]:
    cutoff = unit.now() - timedelta(seconds=rule.seconds)
    ended: list[Any] = [IS_ENDED, Job.finished_at < cutoff, Job.state == rule.status]
    return [*ended, Job.protected.is_(False), Job.deleted_at.is_(None), _has(rule.kind)]


def _has(kind: PruneKind) -> ColumnElement[bool]:
    """Whether the job has something of the kind."""
    match kind:
        case PruneKind.CHECKPOINTS:
            return exists().where(Checkpoint.job_id == Job.id, IS_COMMITTED)
        case PruneKind.ARTIFACTS:
            return exists().where(Artifact.job_id == Job.id, _PUBLISHED)
        case PruneKind.EVENTS:
            return exists().where(Event.job_id == Job.id)
        case PruneKind.SERIES:
            return exists().where(Series.job_id == Job.id)
        case PruneKind.LOGS:
            return or_(Job.logs_deleted_at.is_(None), Job.logs_deleted_at < Job.finished_at)
        case _:
            return true()


def prune_job(unit: Unit, rule: Rule, job_id: str, actor: Principal) -> bool:
    """Delete something of the kind, if the job is still due. Returns whether there may be more.

    Not for whole jobs (`order_deletions`), and not for logs, which have no rows.
    """
    due = select(Job).where(Job.id == job_id, *_old(unit, rule))
    job = unit.session.scalar(due.with_for_update(skip_locked=True))
    if job is None:
        return False
    match rule.kind:
        case PruneKind.CHECKPOINTS:
            return _prune_checkpoints(unit, job, actor)
        case PruneKind.ARTIFACTS:
            return _prune_artifacts(unit, job, actor)
        case PruneKind.EVENTS | PruneKind.SERIES as kind:
            return _prune_rows(unit, job_id, kind)
        case _:
            return False


def order_deletions(unit: Unit, rule: Rule, job_ids: Sequence[str], actor: Principal) -> None:
    """Order the deletion of those of these jobs that are still due and that no other transaction has locked."""
    due = select(Job.id, Job.name).where(Job.id.in_(job_ids), *_old(unit, rule)).order_by(Job.id)
    jobs = unit.session.execute(due.with_for_update(skip_locked=True)).all()
    deletion.order_ended(unit, [job.id for job in jobs])
    age = f"it ended more than {_days(rule.seconds)} days ago (BATON_RETENTION_JOBS)"
    for job_id, name in jobs:
        text = f"deletion of job {name} requested: {age}"
        audit.record(unit, "job_delete_requested", actor, text, {"force": False}, subject=job_id)


def _prune_checkpoints(unit: Unit, job: Job, actor: Principal) -> bool:
    """Mark all checkpoints as deleted. The reconciler then deletes their objects.

    Checkpoints that are being copied into another job are left, with all others of this job, for a later pass.
    """
    if checkpoint_copies.read_from(unit, job.id):
        return False
    unit.session.execute(delete(Pointer).where(Pointer.job_id == job.id), execution_options=_NO_SYNC)
    those = update(Checkpoint).where(Checkpoint.job_id == job.id, IS_COMMITTED)
    number = _deleted(unit, those.values(state=CheckpointState.DELETED.value))
    _tell(unit, job, actor, PruneKind.CHECKPOINTS, number)
    return False


def _prune_artifacts(unit: Unit, job: Job, actor: Principal) -> bool:
    """Delete the rows of some artifacts. Their objects become garbage, because a client may still be reading them."""
    query = select(Artifact).where(Artifact.job_id == job.id, _PUBLISHED).order_by(Artifact.name).limit(FILES)
    rows = unit.session.scalars(query).all()
    for row in rows:
        for name in (row.object, artifact_name(job.id, row.name)):
            unit.session.merge(Garbage(object=name, not_before=unit.now() + READER_GRACE))
        unit.session.delete(row)
    _tell(unit, job, actor, PruneKind.ARTIFACTS, len(rows))
    return len(rows) == FILES


def _prune_rows(unit: Unit, job_id: str, kind: PruneKind) -> bool:
    if kind is PruneKind.EVENTS:
        some = select(Event.sequence).where(Event.job_id == job_id).limit(ROWS)
        return _deleted(unit, delete(Event).where(Event.job_id == job_id, Event.sequence.in_(some))) == ROWS
    if deletion.remove_points(unit, [job_id]):
        return True
    _deleted(unit, delete(Series).where(Series.job_id == job_id))
    return False


def _tell(unit: Unit, job: Job, actor: Principal, kind: PruneKind, number: int) -> None:
    text = f"{number} {kind} deleted, because the job ended long ago (BATON_RETENTION_{kind.upper()})"
    unit.event(job, "pruned", actor.name, text, what=kind.value, number=number)


def logs_deleted(unit: Unit, job_ids: list[str]) -> None:
    """Record that the logs of these jobs were deleted. Jobs whose rows are locked stay due."""
    query = update(Job).where(Job.id.in_(unlocked(unit.session, Job, job_ids))).values(logs_deleted_at=unit.now())
    unit.session.execute(query, execution_options=_NO_SYNC)


def prune_rows(unit: Unit, kind: PruneKind, seconds: float, actor: Principal) -> bool:
    """Delete some rows of the service that are older. Returns whether there may be more."""
    key, found = _aged(unit, kind, seconds)
    number = _deleted(unit, delete(key[0].class_).where(tuple_(*key).in_(found.limit(ROWS))))
    if kind is PruneKind.AUDIT and number:
        text = f"{number} entries older than {_days(seconds)} days deleted (BATON_RETENTION_AUDIT)"
        audit.record(unit, "audit_pruned", actor, text, {"number": number})
    return number == ROWS


def _aged(unit: Unit, kind: PruneKind, seconds: float) -> tuple[tuple[Any, ...], Select[Any]]:
    """The primary key of the table, and a query for its rows that are older."""
    cutoff = unit.now() - timedelta(seconds=seconds)
    if kind is PruneKind.AUDIT:
        # Numbers grow with time: the first entry that is not older ends the search, and no index on the time is needed.
        first = select(AuditEntry.number, AuditEntry.at).where(AuditEntry.number > 0).order_by(AuditEntry.number)
        oldest = first.limit(COUNTED).subquery()
        return (AuditEntry.number,), select(oldest.c.number).where(oldest.c.at < cutoff).order_by(oldest.c.number)
    if kind is PruneKind.WORKERS:
        holds = exists().where(Attempt.worker == Worker.name, IS_LIVE)
        return (Worker.name,), select(Worker.name).where(Worker.last_seen_at < cutoff, ~holds)
    of_caller: tuple[Any, ...] = (IdempotencyKey.principal, IdempotencyKey.key)
    return of_caller, select(*of_caller).where(IdempotencyKey.created_at < cutoff)


def preview(unit: Unit, retention: Retention) -> list[PrunedView]:
    """What is older than its retention now, by kind."""
    return [_previewed(unit, kind, retention) for kind in retention.kinds()]


def _previewed(unit: Unit, kind: PruneKind, retention: Retention) -> PrunedView:
    found: list[tuple[int, int | None]]
    if kind in retention.by_age:
        found = [(_counted(unit, _aged(unit, kind, retention.by_age[kind])[1])[0], None)]
    else:
        found = [_of_jobs(unit, Rule(kind, *one)) for one in retention.by_status[kind].items()]
    number, sizes = sum(number for number, _ in found), [size for _, size in found if size is not None]
    more = any(number == COUNTED for number, _ in found)
    return PrunedView(kind=kind.value, number=number, left=number, more=more, bytes=sum(sizes) if sizes else None)


def _of_jobs(unit: Unit, rule: Rule) -> tuple[int, int | None]:
    """The number of rows of a kind, and the bytes of their objects if they are known."""
    jobs = select(Job.id).where(*_old(unit, rule))
    match rule.kind:
        case PruneKind.JOBS:
            # The state of a checkpoint does not matter here: its bytes count until its objects are deleted.
            there = select(Checkpoint.bytes).where(Checkpoint.collected_at.is_(None), Checkpoint.job_id.in_(jobs))
            files = select(Artifact.size).where(Artifact.job_id.in_(jobs))
            return _counted(unit, jobs)[0], sum(_counted(unit, query)[1] for query in (there, files))
        case PruneKind.CHECKPOINTS:
            return _counted(unit, select(Checkpoint.bytes).where(IS_COMMITTED, Checkpoint.job_id.in_(jobs)))
        case PruneKind.ARTIFACTS:
            return _counted(unit, select(Artifact.size).where(_PUBLISHED, Artifact.job_id.in_(jobs)))
        case PruneKind.EVENTS:
            return _counted(unit, select(Event.sequence).where(Event.job_id.in_(jobs)))[0], None
        case PruneKind.SERIES:
            return _counted(unit, select(Series.number).where(Series.job_id.in_(jobs)))[0], None
        case _:
            return _counted(unit, jobs)[0], None


def _counted(unit: Unit, query: Select[Any]) -> tuple[int, int]:
    """The number of rows, up to COUNTED, and the sum of their first column if it has numbers."""
    rows = query.limit(COUNTED).subquery()
    first = next(iter(rows.c))
    total: Any = func.coalesce(func.sum(first), 0) if first.type.python_type is int else literal(0)
    number, size = unit.session.execute(select(func.count(), total).select_from(rows)).one()
    return number, int(size)


def _deleted(unit: Unit, query: Any) -> int:
    return cast("CursorResult[Any]", unit.session.execute(query, execution_options=_NO_SYNC)).rowcount


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:g}"
