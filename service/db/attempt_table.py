"""The table of attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from baton.domain.states import AttemptState
from service.db.base import (
    DISPATCHED,
    LIVE,
    NOTHING,
    SPENT,
    TOO_OLD,
    UNPLACED,
    WAITING,
    ZERO,
    Base,
    Id,
    Number,
    one_of,
)
from service.db.project_table import project_column


class Attempt(Base):
    """A worker's hold on a job. `fence` is given with the claim. `ending` is the finish message as received.

    `started_at`: start of training. `seconds`: by bucket, as the worker reported them last. `covered_seconds`: training
    time in checkpoints. `interval_seconds`: between two checkpoints. `trouble`: a current failure that is retried.
    `recovers`: the attempt before this one was interrupted. `queue`, `needs_key`, `urgency`, `job_number`: the place of
    a queued attempt in its queue (service/usecases/queue_order.py). `urgency` is empty during a backoff.
    `project`: the project of its job. `gpus`, `hourly_price`: number of the worker's GPUs, and the price of an hour of
    its devices in millionths, at the claim.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        one_of("state", AttemptState),
        CheckConstraint("(claimed_at IS NULL) = (fence IS NULL)", name="fence_with_claim"),
        UniqueConstraint("job_id", "number"),
        UniqueConstraint("job_id", "fence"),
        Index("uq_attempts_one_live", "job_id", unique=True, sqlite_where=LIVE, postgresql_where=LIVE),
        Index("ix_attempts_live", "state", "lease_expires_at", sqlite_where=LIVE, postgresql_where=LIVE),
        Index("ix_attempts_project_live", "project", "state", sqlite_where=LIVE, postgresql_where=LIVE),
        Index("ix_attempts_worker_live", "worker", sqlite_where=LIVE, postgresql_where=LIVE),
        Index(
            "ix_attempts_waiting",
            "queue",
            "needs_key",
            "urgency",
            "job_number",
            "not_before",
            sqlite_where=WAITING,
            postgresql_where=WAITING,
        ),
        Index(
            "ix_attempts_waiting_of_project",
            "queue",
            "project",
            "needs_key",
            "urgency",
            "job_number",
            "not_before",
            sqlite_where=WAITING,
            postgresql_where=WAITING,
        ),
        Index("ix_attempts_unplaced", "not_before", "queue", sqlite_where=UNPLACED, postgresql_where=UNPLACED),
        Index(
            "ix_attempts_dispatched",
            "queue",
            "urgency",
            "needs_key",
            sqlite_where=DISPATCHED,
            postgresql_where=DISPATCHED,
        ),
        Index(
            "ix_attempts_dispatched_of_project",
            "queue",
            "project",
            "needs_key",
            "urgency",
            sqlite_where=DISPATCHED,
            postgresql_where=DISPATCHED,
        ),
        Index("ix_attempts_spent", "dispatched_at", sqlite_where=SPENT, postgresql_where=SPENT),
        Index("ix_attempts_too_old", "job_id", sqlite_where=TOO_OLD, postgresql_where=TOO_OLD),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    fence: Mapped[int | None] = mapped_column(BigInteger)
    claim_id: Mapped[str | None] = mapped_column(String(64))
    worker: Mapped[str | None] = mapped_column(String(200))
    device: Mapped[str | None] = mapped_column(String(200))
    phase: Mapped[str | None] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(50))
    message: Mapped[str | None] = mapped_column(Text)
    ending: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    progressed: Mapped[bool] = mapped_column(default=False)
    start_step: Mapped[int | None] = mapped_column(BigInteger)
    end_step: Mapped[int | None] = mapped_column(BigInteger)
    not_before: Mapped[datetime]
    dispatched_at: Mapped[datetime | None]
    dispatches: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=NOTHING)
    covered_seconds: Mapped[float] = mapped_column(Float(53), default=0.0, server_default=ZERO)
    interval_seconds: Mapped[float | None] = mapped_column(Float(53))
    queue: Mapped[str | None] = mapped_column(String(63))
    needs_key: Mapped[str | None] = mapped_column(String(32))
    urgency: Mapped[int | None]
    job_number: Mapped[int | None] = mapped_column(Number)
    beat_at: Mapped[datetime | None]
    silent_since: Mapped[datetime | None]
    protocol: Mapped[int | None]
    trouble: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    recovers: Mapped[bool | None]
    spec_version: Mapped[int | None]
    project: Mapped[str] = project_column()
    gpus: Mapped[int | None]
    hourly_price: Mapped[int | None] = mapped_column(BigInteger)
