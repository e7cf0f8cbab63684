"""The main tables. Only the migrations create them; a test compares both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    column,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from baton.domain.queues import PRIORITIES
from baton.domain.states import DesiredState, JobState, StageState
from service.db import (  # noqa: F401 - registers their tables in Base
    auth_tables,
    data_tables,
    leader_table,
    notification_table,
    operation_tables,
)
from service.db.attempt_table import Attempt
from service.db.base import (
    CODED,
    DERIVED,
    DOOMED,
    ENDED,
    FED,
    NO_ITEMS,
    ONE,
    PINNING,
    SHOWN,
    UNCOUNTED,
    UNFED,
    UNLISTED,
    WANTED,
    ZERO,
    Base,
    Id,
    Number,
    one_of,
)
from service.db.checkpoint_tables import Checkpoint, CheckpointCopy, Pointer
from service.db.file_tables import Artifact, Garbage
from service.db.list_tables import EventFeed, JobMetric
from service.db.project_table import Project, project_column
from service.db.series_tables import Series, SeriesPoint
from service.db.types import Real, in_bytes
from service.db.usage_tables import RecentUse, Usage
from service.db.worker_table import Worker

__all__ = (
    "Artifact", "Attempt", "Base", "Checkpoint", "CheckpointCopy", "Epoch", "Event", "EventFeed", "Garbage",
    "IdempotencyKey", "Job", "JobData", "JobLabel", "JobMetric", "Pointer", "Project", "RecentUse", "Series",
    "SeriesPoint", "Stage", "Usage", "Worker",
)  # fmt: skip


class Job(Base):
    """A job. `version` increases with each visible change. `fence`, `events`: the last numbers that were assigned.

    `paused_at`: start of the owner's current pause. `paused_seconds`: total of the pauses that have ended.
    `overdue_since`: when the missing checkpoint was detected. `restore_failures`: attempts in a row that ended during
    the restore. `needs`: extensions. `spent`, `held_seconds`: totals of the ended attempts
    (service.usecases.attempt_totals), empty in rows of an older service. `sweep_at`: when its objects are swept next.
    It is empty before the first claim, and when no more sweep is needed. `data`: the pushed data that it pins, as
    NAME@sha256:DIGEST; of a program that pins several, one of them (JobData has all). `code`: the digest of the code
    bundle that a program names. `retries`: how often a user retried it after its end. `protected`: retention does not
    delete it. `deleted_at`: when its deletion was ordered. From then on it is not shown, and the reconciler removes it.
    `source_job`: the job it was made from, which may be deleted. `source`: baton.domain.lineage.JobSource and `start`.
    `logs_deleted_at`: when retention deleted its logs. A later attempt may have written others. `owner`: the name of
    the token that submitted it; None in rows of an older service. `gpu_us`, `cost`: GPU time in microseconds and cost
    in millionths of its ended attempts (service.usecases.usage). `metrics_listed`: if `job_metrics` has its metrics
    (service.usecases.job_metrics).
    """

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", JobState),
        one_of("desired", DesiredState),
        one_of("priority", PRIORITIES),
        Index("ix_jobs_state_number", "state", "number"),
        Index("ix_jobs_project_number", "project", "number"),
        Index("ix_jobs_sweep_at", "sweep_at"),
        Index("ix_jobs_wanted", "desired", "state", sqlite_where=WANTED, postgresql_where=WANTED),
        Index("ix_jobs_uncounted", "number", sqlite_where=UNCOUNTED, postgresql_where=UNCOUNTED),
        Index("ix_jobs_pinning", "data", sqlite_where=PINNING, postgresql_where=PINNING),
        Index("ix_jobs_code", "code", sqlite_where=CODED, postgresql_where=CODED),
        Index("ix_jobs_doomed", "deleted_at", sqlite_where=DOOMED, postgresql_where=DOOMED),
        Index("ix_jobs_source", "source_job", "number", sqlite_where=DERIVED, postgresql_where=DERIVED),
        Index("ix_jobs_ended", "finished_at", sqlite_where=ENDED, postgresql_where=ENDED),
        Index("ix_jobs_ended_number", "finished_at", "number", sqlite_where=ENDED, postgresql_where=ENDED),
        # Partial, so that only lists use them. SQLite would take the second for the held attempts of a queue.
        Index("ix_jobs_created", "created_at", "number", sqlite_where=SHOWN, postgresql_where=SHOWN),
        Index("ix_jobs_name_number", in_bytes(column("name")), "number", sqlite_where=SHOWN, postgresql_where=SHOWN),
        Index("ix_jobs_queue_number", "queue", "number", sqlite_where=SHOWN, postgresql_where=SHOWN),
        Index("ix_jobs_owner_number", "owner", "number", sqlite_where=SHOWN, postgresql_where=SHOWN),
        Index("ix_jobs_unlisted", "number", sqlite_where=UNLISTED, postgresql_where=UNLISTED),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(Id, unique=True)
    name: Mapped[str] = mapped_column(String(100))
    spec: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]]
    needs: Mapped[list[str]] = mapped_column(default=list, server_default=NO_ITEMS)
    queue: Mapped[str] = mapped_column(String(63))
    priority: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(16))
    desired: Mapped[str] = mapped_column(String(16))
    desired_at: Mapped[datetime | None]
    spec_version: Mapped[int] = mapped_column(default=1, server_default=ONE)
    data: Mapped[str | None] = mapped_column(String(140))
    code: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(50))
    message: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    events: Mapped[int] = mapped_column(BigInteger, default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    preemptions: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    without_progress: Mapped[int] = mapped_column(default=0)
    restore_failures: Mapped[int] = mapped_column(default=0, server_default=ZERO)
    held_seconds: Mapped[float | None] = mapped_column(Float(53))
    spent: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    paused_seconds: Mapped[float] = mapped_column(Float(53), default=0.0, server_default=ZERO)
    paused_at: Mapped[datetime | None]
    overdue_since: Mapped[datetime | None]
    phase: Mapped[str | None] = mapped_column(String(20))
    furthest: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    results: Mapped[dict[str, Any]] = mapped_column(default=dict)
    best: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    sweep_at: Mapped[datetime | None]
    retries: Mapped[int] = mapped_column(default=0, server_default=ZERO)
    notes: Mapped[str | None] = mapped_column(Text)
    protected: Mapped[bool] = mapped_column(default=False, server_default=false())
    deleted_at: Mapped[datetime | None]
    source_job: Mapped[str | None] = mapped_column(Id)
    source: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    logs_deleted_at: Mapped[datetime | None]
    project: Mapped[str] = project_column()
    owner: Mapped[str | None] = mapped_column(String(63))
    gpu_us: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    cost: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    metrics_listed: Mapped[int | None] = mapped_column(SmallInteger, default=1)


class JobLabel(Base):
    """One label of a job. The job list filters by it."""

    __tablename__ = "job_labels"
    __table_args__ = (Index("ix_job_labels_key_value_job_number", "key", "value", "job_number"),)

    job_number: Mapped[int] = mapped_column(Number, ForeignKey("jobs.number"), primary_key=True)
    key: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[str] = mapped_column(String(63))


class JobData(Base):
    """Pushed data that a program pins. `name`: the program's name for it. `reference`: NAME@sha256:DIGEST."""

    __tablename__ = "job_data"

    job_number: Mapped[int] = mapped_column(Number, ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    reference: Mapped[str] = mapped_column(String(140), index=True)


class IdempotencyKey(Base):
    """The idempotency key of a submission. `principal`: Principal.key of its caller; empty in rows of an older service.

    `body`: digest of the request body.
    """

    __tablename__ = "idempotency_keys"

    principal: Mapped[str] = mapped_column(String(80), primary_key=True, default="", server_default=text("''"))
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(index=True)


class Stage(Base):
    """A stage of a job; `stage` counts from 1."""

    __tablename__ = "stages"
    __table_args__ = (one_of("state", StageState),)

    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"), primary_key=True)
    stage: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default=StageState.WAITING.value)
    epochs: Mapped[int]
    image_size: Mapped[int]
    batch_size: Mapped[int]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Epoch(Base):
    """One row of the history, read and written by service.usecases.epoch_rows.

    `image_size` and `batch_size` are 0 in the row of a program, because the previous release cannot read NULL there.
    `metrics` is NULL in a row that the previous release wrote.
    """

    __tablename__ = "epochs"

    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fence: Mapped[int] = mapped_column(BigInteger)
    stage: Mapped[int]
    stage_epoch: Mapped[int]
    global_step: Mapped[int] = mapped_column(BigInteger)
    image_size: Mapped[int]
    batch_size: Mapped[int]
    learning_rate: Mapped[float] = mapped_column(Real, nullable=True)
    loss: Mapped[float] = mapped_column(Real, nullable=True)
    accuracy: Mapped[float] = mapped_column(Real, nullable=True)
    val_loss: Mapped[float] = mapped_column(Real, nullable=True)
    val_accuracy: Mapped[float] = mapped_column(Real, nullable=True)
    attempt: Mapped[int]
    seconds: Mapped[float] = mapped_column(Real, nullable=True)
    images_per_second: Mapped[float] = mapped_column(Real, nullable=True)
    finished_at: Mapped[datetime]
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Event(Base):
    """One event of a job. `sequence` counts from 1. A job with very many keeps the first and the newest.

    `feed`: its number among the events of all jobs (service.usecases.event_feed). 0: not numbered yet. -1: older than
    the feed.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_unfed", "at", "job_id", "sequence", sqlite_where=UNFED, postgresql_where=UNFED),
        Index("ix_events_feed", "feed", sqlite_where=FED, postgresql_where=FED),
    )

    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(50))
    actor: Mapped[str] = mapped_column(String(220))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    feed: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
