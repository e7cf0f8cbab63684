"""What attempts used. The rows stay when the jobs are deleted, so they refer to no other table."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Float, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Id


class Usage(Base):
    """A day of an attempt that has ended, as baton.domain.usage.Part. Times in microseconds, costs in millionths.

    `device`, `gpus`, `hourly_price`: as at the claim. A cost is empty if the device had no price then. `job_name`: at
    the end of the attempt.
    """

    __tablename__ = "usage"
    __table_args__ = (
        Index("ix_usage_day", "day"),
        Index("ix_usage_project_day", "project", "day"),
    )

    attempt_id: Mapped[str] = mapped_column(Id, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(Id)
    job_name: Mapped[str] = mapped_column(String(100))
    attempt: Mapped[int]
    project: Mapped[str] = mapped_column(String(63))
    owner: Mapped[str | None] = mapped_column(String(63))
    device: Mapped[str] = mapped_column(String(200))
    gpus: Mapped[int]
    hourly_price: Mapped[int | None] = mapped_column(BigInteger)
    us: Mapped[int] = mapped_column(BigInteger)
    trained_us: Mapped[int] = mapped_column(BigInteger)
    redone_us: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[int | None] = mapped_column(BigInteger)
    trained_cost: Mapped[int | None] = mapped_column(BigInteger)
    redone_cost: Mapped[int | None] = mapped_column(BigInteger)


class RecentUse(Base):
    """The device time of a project's ended attempts at the time `at`, in seconds (service.usecases.recent_use)."""

    __tablename__ = "recent_use"

    project: Mapped[str] = mapped_column(String(63), primary_key=True)
    seconds: Mapped[float] = mapped_column(Float(53))
    at: Mapped[datetime]
