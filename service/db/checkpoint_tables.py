"""The tables of committed checkpoints, of the pointers to them, and of their copies that are not complete."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from baton.domain.states import CheckpointState
from baton.domain.wire import CheckpointRole
from service.db.base import (
    COMMITTED,
    DELETED,
    PAST,
    PENDING,
    QUARANTINED,
    USELESS,
    Base,
    Id,
    Number,
    one_of,
)
from service.db.types import Real

ZERO = text("0")
COPY_STATES = ("pending", "failed")


class Checkpoint(Base):
    """A committed checkpoint. `roles`: the pointers that its commit moved. `collected_at`: its objects are deleted.

    `seconds`: time to write it. `stall_seconds`: time for which training waited. `trained_seconds`: the attempt's
    training time that the checkpoint contains.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (
        one_of("state", CheckpointState),
        UniqueConstraint("job_id", "prefix"),
        Index("ix_checkpoints_useless", "job_id", sqlite_where=USELESS, postgresql_where=USELESS),
        Index("ix_checkpoints_deleted", "number", sqlite_where=DELETED, postgresql_where=DELETED),
        Index("ix_checkpoints_quarantined", "job_id", sqlite_where=QUARANTINED, postgresql_where=QUARANTINED),
        Index("ix_checkpoints_committed", "job_id", "number", sqlite_where=COMMITTED, postgresql_where=COMMITTED),
        Index("ix_checkpoints_past", "job_id", "number", sqlite_where=PAST, postgresql_where=PAST),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(Id, unique=True)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"))
    attempt_id: Mapped[str] = mapped_column(Id, ForeignKey("attempts.id"), index=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    prefix: Mapped[str] = mapped_column(String(900))
    manifest_crc32c: Mapped[str] = mapped_column(String(8))
    stage: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[int] = mapped_column(BigInteger)
    global_step: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Real)
    stall_seconds: Mapped[float] = mapped_column(Float(53), default=0.0, server_default=ZERO)
    trained_seconds: Mapped[float] = mapped_column(Float(53), default=0.0, server_default=ZERO)
    roles: Mapped[list[str]]
    needs: Mapped[list[str]]
    state: Mapped[str] = mapped_column(String(16), default=CheckpointState.COMMITTED.value)
    committed_at: Mapped[datetime]
    collected_at: Mapped[datetime | None]


class Pointer(Base):
    """Which checkpoint is `latest`, `best` and `stage_best`."""

    __tablename__ = "pointers"
    __table_args__ = (one_of("role", CheckpointRole),)

    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    checkpoint_id: Mapped[str] = mapped_column(Id, ForeignKey("checkpoints.id"), index=True)


class CheckpointCopy(Base):
    """The checkpoints of another job that are copied into a job, which starts from them. Deleted once they are copied.

    `checkpoints`: baton.domain rows of service.usecases.checkpoint_copies.Copied, oldest first. The source's rows may
    be deleted meanwhile. `state`: `failed` if the copy is not possible; a retry of the job makes it `pending` again.
    """

    __tablename__ = "checkpoint_copies"
    __table_args__ = (
        one_of("state", COPY_STATES),
        Index("ix_checkpoint_copies_pending", "source_job", sqlite_where=PENDING, postgresql_where=PENDING),
    )

    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    source_job: Mapped[str] = mapped_column(Id)
    checkpoints: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    asked_at: Mapped[datetime]
