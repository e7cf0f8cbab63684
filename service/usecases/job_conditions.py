"""The conditions of a job list. Each finds its jobs by an index.

A condition is used in three ways: as a filter of rows that something else has found (`holds`), as a set of job numbers
(`numbers`), or as a list of job numbers in order (`walks`). Only a condition on equality has an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from sqlalchemy import ColumnElement, Select, and_, exists, false, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from baton.domain.states import ACTIVE_JOBS, TERMINAL_JOBS, DesiredState, JobState
from service.db.aliases import shared_alias
from service.db.base import IS_ENDED, IS_SHOWN, IS_WANTED
from service.db.tables import Job, JobLabel, JobMetric
from service.db.types import in_bytes
from service.usecases.job_filters import LAST, ORDERS, Status

Comparison = Literal["<", "<=", ">", ">="]
_LABEL, _METRIC = shared_alias(JobLabel), shared_alias(JobMetric)


@dataclass(frozen=True)
class Span:
    """Job numbers between two exclusive bounds, and the order in which they are wanted."""

    above: int = 0
    below: int = LAST
    descending: bool = True

    def ordered(self, number: Any, *prefix: tuple[Any, Any]) -> Select[Any]:
        """Numbers in this span, in the order of an index on the columns of `prefix` and the number.

        `prefix`: the columns before the number, each with its only value.
        """
        columns = [column for column, _ in prefix]
        query = select(number.label("number"))
        query = query.where(number > self.above, number < self.below, *(c == v for c, v in prefix))
        if prefix:
            # With equalities alone, PostgreSQL may read all jobs in the order of their numbers: it assumes that values
            # are evenly spread. Only the index on these columns has the order of a row value.
            place, fixed = tuple_(*columns, number), [literal(value, column.type) for column, value in prefix]
            query = query.where(
                place > tuple_(*fixed, literal(self.above, number.type)),
                place < tuple_(*fixed, literal(self.below, number.type)),
            )
        keys = [*columns, number]
        return query.order_by(*(key.desc() if self.descending else key.asc() for key in keys))


def _shown() -> Select[Any]:
    """Job numbers. The indexes of lists hold only jobs that are not being deleted."""
    return select(Job.number.label("number")).where(IS_SHOWN)


class Condition(Protocol):
    """A condition on jobs."""

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order. Jobs that are being deleted may be among them."""


class Ordered(Condition, Protocol):
    """A condition whose jobs are found in the order of their numbers."""

    def walks(self, span: Span) -> list[Select[Any]]:
        """Queries for the numbers of its jobs, each in order. Jobs that are being deleted are left out."""


@dataclass(frozen=True)
class Equal:
    """A column of `jobs` has a value. It needs an index on the column and the number."""

    column: InstrumentedAttribute[Any]
    value: str

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        equal: ColumnElement[bool] = self._key == self.value
        return equal

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        return _shown().where(self.holds())

    def walks(self, span: Span) -> list[Select[Any]]:
        """The numbers of its jobs, in order."""
        return [span.ordered(Job.number, (self._key, self.value)).where(Job.deleted_at.is_(None))]

    @property
    def _key(self) -> Any:
        return in_bytes(Job.name) if self.column is Job.name else self.column


@dataclass(frozen=True)
class NamePrefix:
    """The name begins with a text."""

    prefix: str

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        # Names are ASCII: no name with this prefix is above it with the last character that follows all of ASCII.
        return and_(in_bytes(Job.name) >= self.prefix, in_bytes(Job.name) < self.prefix + "\x7f")

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        return _shown().where(self.holds())


@dataclass(frozen=True)
class IdPrefix:
    """The id begins with some hex digits."""

    prefix: str

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        return and_(Job.id >= self.prefix, Job.id < self.prefix + "g")

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        return _shown().where(self.holds())


@dataclass(frozen=True)
class Label:
    """The job has a label with a value."""

    key: str
    value: str

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        return exists().where(_LABEL.job_number == Job.number, _LABEL.key == self.key, _LABEL.value == self.value)

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        return select(JobLabel.job_number.label("number")).where(*self._is)

    def walks(self, span: Span) -> list[Select[Any]]:
        """The numbers of its jobs, in order."""
        query = span.ordered(JobLabel.job_number, (JobLabel.key, self.key), (JobLabel.value, self.value))
        return [query.join(Job, Job.number == JobLabel.job_number).where(Job.deleted_at.is_(None))]

    @property
    def _is(self) -> tuple[ColumnElement[bool], ...]:
        return JobLabel.key == self.key, JobLabel.value == self.value


@dataclass(frozen=True)
class AnyStatus:
    """The job has one of the statuses."""

    statuses: tuple[Status, ...]

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        return or_(false(), *(and_(*self._of(status)) for status in self.statuses))

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        return _shown().where(self.holds())

    def walks(self, span: Span) -> list[Select[Any]]:
        """The numbers of its jobs, in order."""
        return [self._walk(status, span).where(Job.deleted_at.is_(None)) for status in self.statuses]

    def _walk(self, status: Status, span: Span) -> Select[Any]:
        if status in ORDERS:  # few jobs, in a partial index
            return span.ordered(Job.number).where(*self._of(status))
        return span.ordered(Job.number, (Job.state, status)).where(*self._of(status))

    @staticmethod
    def _of(status: Status) -> Sequence[Any]:
        active = Job.state.in_([*ACTIVE_JOBS])
        if status == "cancelling":
            return IS_WANTED, active, Job.desired == DesiredState.CANCEL
        if status == "pausing":
            return IS_WANTED, active, Job.desired == DesiredState.PAUSE, Job.state != JobState.PAUSED
        if status in TERMINAL_JOBS:
            return (Job.state == status,)
        wish = DesiredState.PAUSE if status == JobState.PAUSED.value else DesiredState.RUN
        return Job.state == status, Job.desired == wish


@dataclass(frozen=True)
class Between:
    """A time of the job is after one time and before another, both excluded; None: no bound."""

    column: InstrumentedAttribute[Any]
    after: datetime | None
    before: datetime | None

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        bounds: list[Any] = [IS_ENDED] if self.column is Job.finished_at else []
        bounds += [] if self.after is None else [self.column > self.after]
        bounds += [] if self.before is None else [self.column < self.before]
        return and_(*bounds)

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        return _shown().where(self.holds())


@dataclass(frozen=True)
class MetricBound:
    """A metric is above or below a value. A job without the metric, or with NaN, is neither."""

    name: str
    comparison: Comparison
    value: float

    def holds(self) -> ColumnElement[bool]:
        """As a filter of rows of `jobs`."""
        return exists().where(_METRIC.job_number == Job.number, _METRIC.name == self.name, self.of(_METRIC.value))

    def numbers(self) -> Select[Any]:
        """The numbers of its jobs, in no order."""
        query = select(JobMetric.job_number.label("number"))
        return query.where(JobMetric.name == self.name, self.of(JobMetric.value))

    def of(self, column: Any) -> ColumnElement[bool]:
        """The bound on a column."""
        compared: dict[str, ColumnElement[bool]] = {
            "<": column < self.value,
            "<=": column <= self.value,
            ">": column > self.value,
            ">=": column >= self.value,
        }
        return compared[self.comparison]
