"""The tables of committed checkpoints and of the pointers to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from baton.domain.states import CheckpointState
from baton.domain.wire import CheckpointRole
from service.db.base import (
    COMMITTED,
    DELETED,
    PAST,
    QUARANTINED,
    USELESS,
    Base,
    Id,
    Number,
    one_of,
)
from service.db.types import Real

ZERO = text("0")


class Checkpoint(Base):
    """A committed checkpoint. `roles`: the pointers that its commit moved. `collected_at`: its objects are deleted.

    `seconds`: time to write it. `stall_seconds`: time that training waited. `trained_seconds`: training time of its
    attempt that it contains.
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
    attempt_id: Mapped[str] = mapped_column(Id, ForeignKey("attempts.id"))
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
    checkpoint_id: Mapped[str] = mapped_column(Id, ForeignKey("checkpoints.id"))
