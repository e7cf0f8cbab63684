"""Everything that the database contains about one job, as plain data: the input of the checker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from baton.domain.spec import JobSpec, parse_spec
from baton.domain.wire import Position
from service.db import tables

_T = TypeVar("_T")


@dataclass(frozen=True)
class Event:
    """One event of the log."""

    sequence: int
    kind: str
    actor: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One row of the attempts."""

    id: str
    number: int
    state: str
    fence: int | None
    reason: str | None
    start_step: int | None


@dataclass(frozen=True)
class Checkpoint:
    """One row of the committed checkpoints."""

    id: str
    number: int
    attempt_id: str
    fence: int
    prefix: str
    manifest_crc32c: str
    stage: int
    epoch: int
    step: int
    global_step: int
    needs: list[str]
    state: str

    @property
    def position(self) -> Position:
        """The position of the checkpoint."""
        return Position(stage=self.stage, epoch=self.epoch, step=self.step, global_step=self.global_step)


@dataclass(frozen=True)
class Epoch:
    """One row of the history."""

    epoch: int
    fence: int
    stage: int
    stage_epoch: int
    global_step: int
    attempt: int


@dataclass(frozen=True)
class Artifact:
    """One published file."""

    name: str
    object: str
    fence: int


@dataclass(frozen=True)
class Stage:
    """One stage."""

    stage: int
    state: str


@dataclass(frozen=True)
class Job:
    """The job's own row."""

    id: str
    name: str
    state: str
    desired: str
    reason: str | None
    message: str | None
    fence: int
    events: int
    attempts: int
    preemptions: int
    failures: int
    without_progress: int
    retries: int
    deleted_at: datetime | None
    source_job: str | None
    spec: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One job at one moment. All lists are in the order in which things happened."""

    job: Job
    events: tuple[Event, ...]
    attempts: tuple[Attempt, ...]
    checkpoints: tuple[Checkpoint, ...]
    epochs: tuple[Epoch, ...]
    artifacts: tuple[Artifact, ...]
    stages: tuple[Stage, ...]

    @property
    def spec(self) -> JobSpec:
        """The spec of the job."""
        return parse_spec(self.job.spec)


def load(session: Session, job_id: str) -> Record:
    """The record of a job. The session's transaction should see one state of the database."""

    def rows(kind: type[_T], table: Any, order: Any) -> tuple[_T, ...]:
        found = session.scalars(select(table).where(table.job_id == job_id).order_by(order))
        return tuple(_copy(kind, row) for row in found)

    return Record(
        job=_copy(Job, session.scalars(select(tables.Job).where(tables.Job.id == job_id)).one()),
        events=rows(Event, tables.Event, tables.Event.sequence),
        attempts=rows(Attempt, tables.Attempt, tables.Attempt.number),
        checkpoints=rows(Checkpoint, tables.Checkpoint, tables.Checkpoint.number),
        epochs=rows(Epoch, tables.Epoch, tables.Epoch.epoch),
        artifacts=rows(Artifact, tables.Artifact, tables.Artifact.name),
        stages=rows(Stage, tables.Stage, tables.Stage.stage),
    )


def job_ids(session: Session, *conditions: ColumnElement[bool]) -> Sequence[str]:
    """The ids of the jobs that match the conditions, oldest first."""
    return session.scalars(select(tables.Job.id).where(*conditions).order_by(tables.Job.number)).all()


def _copy(kind: type[_T], row: Any) -> _T:
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})  # type: ignore[arg-type]
