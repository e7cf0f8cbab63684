"""The tables of series: metrics by step."""

from __future__ import annotations

from sqlalchemy import BigInteger, Float, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Id, Number
from service.db.types import Real


class Series(Base):
    """A series of a job, with the facts of its points, so that a list of series reads no points.

    The columns are those of baton.domain.series.SeriesView.
    """

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("job_id", "name"), {"sqlite_autoincrement": True})

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    width: Mapped[int] = mapped_column(BigInteger, default=1)
    count: Mapped[int]
    first_step: Mapped[int] = mapped_column(BigInteger)
    last_step: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[float] = mapped_column(Real, nullable=True)
    last_at: Mapped[float] = mapped_column(Float(53))
    minimum: Mapped[float | None] = mapped_column(Float(53))
    maximum: Mapped[float | None] = mapped_column(Float(53))


class SeriesPoint(Base):
    """One point. `at`: Unix seconds."""

    __tablename__ = "series_points"
    __table_args__ = ({"sqlite_with_rowid": False},)

    series: Mapped[int] = mapped_column(Number, ForeignKey("series.number", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    value: Mapped[float] = mapped_column(Real, nullable=True)
    at: Mapped[float] = mapped_column(Float(53))
