"""The tables of lists: the metrics of jobs by name, and the last number of the event feed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Number


class JobMetric(Base):
    """A metric of a job, for filters and sorts of lists. `name`: see service.usecases.job_metrics. NaN has no row."""

    __tablename__ = "job_metrics"
    __table_args__ = (Index("ix_job_metrics_value", "name", "value", "job_number"),)

    job_number: Mapped[int] = mapped_column(Number, ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(110), primary_key=True)
    value: Mapped[float] = mapped_column(Float(53))


class EventFeed(Base):
    """The last number that was given to an event. One row, which is locked while events are numbered."""

    __tablename__ = "event_feed"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)
