"""Finds a page of a job list. The cost of a page depends neither on the number of jobs nor on the conditions.

A page is found in one of three ways:

1. **Walk.** Without conditions, or with one that has the order of the page, jobs are read in the order of an index.
2. **Choose.** If one of the conditions has at most FEW jobs, these jobs are filtered by the others and sorted.
3. **Sieve.** Otherwise each condition matches many jobs. At most SCANNED jobs are read in the order of the page, and
   filtered. If fewer match than the page has places, the page is not full, and its cursor continues after the last job
   that was read. Only a page without a cursor is the last.

All three return the same jobs in the same order, so a list may change the way between two pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, literal, select, union_all
from sqlalchemy.orm import defer

from service.db.base import IS_ENDED, IS_SHOWN
from service.db.tables import Job, JobMetric
from service.db.types import in_bytes
from service.db.unit_of_work import Unit
from service.usecases.job_conditions import Between, Condition, Equal, MetricBound, NamePrefix, Ordered, Span
from service.usecases.job_filters import LAST
from service.usecases.job_query import CREATED, ENDED, METRIC, NAME, STATUS, JobQuery
from service.usecases.paging import Place, Rows, directed

FEW = 1000
"""The most jobs that are sorted for a page."""

SCANNED = 1000
"""The most jobs that are read for a page and then filtered."""

LEAST_SCANNED, GROWTH = 64, 4
"""The first part that is read has at least so many jobs, or so many for each place of the page. Each next part is so
many times as large."""

SLACK = timedelta(hours=1)
"""How far the database's clock may have been set back between two submissions. Jobs are listed in the order of their
numbers. A bound of the time of submission limits the numbers that are read, with this tolerance."""

Key = tuple[Any, ...]
MOMENT = "%Y-%m-%dT%H:%M:%S.%f"


def page(unit: Unit, wanted: JobQuery, cursor: str | None, limit: int, *, with_spec: bool = True) -> Rows[Job]:
    """A page of jobs. Raises BadParameter for a cursor of another list, sort or filter.

    `with_spec`: whether to read the specs, which are large.
    """
    key, project = _key(wanted, cursor), unit.project
    if project is not None and wanted.project not in {None, project}:
        return Rows([], None)
    return _Page(unit, replace(wanted, project=project or wanted.project), wanted.place, key, limit, with_spec).find()


def _key(wanted: JobQuery, cursor: str | None) -> Key | None:
    """The sort key at which the page begins."""
    place = wanted.place
    if wanted.sort.key == CREATED:
        return place.key(cursor, int)
    if wanted.sort.key.startswith(METRIC):
        found = place.key(cursor, str, int)
        return None if found is None else (_number(found[0]), found[1])
    found = place.key(cursor, str, int)
    return (_moment(found[0]), found[1]) if found and wanted.sort.key == ENDED else found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class _Page:
    unit: Unit
    wanted: JobQuery
    place: Place
    key: Key | None
    limit: int
    with_spec: bool
    conditions: list[Condition] = field(init=False)

    def __post_init__(self) -> None:
        self.conditions = list(self.wanted.conditions())

    def find(self) -> Rows[Job]:
        if self._is_walk():
            return self._walk()
        few = next((one for one in self.conditions if self._has_few(one)), None)
        return self._sieve() if few is None else self._choose(few)

    # --- the ways

    def _is_walk(self) -> bool:
        others = [one for one in self.conditions if not self._in_sort(one)]
        return not others or (self.by_number and len(others) == 1 and others[0] is self._driver)

    def _walk(self) -> Rows[Job]:
        found = self._scan(self.limit + 1)
        return self._cut(self._read(self._jobs(found).order_by(*self._order(found))))

    def _choose(self, few: Condition) -> Rows[Job]:
        numbers = few.numbers().limit(FEW + 1).subquery()
        columns, holds = self._sort_columns()
        query = select(Job, *columns).where(Job.number.in_(select(numbers.c.number)), Job.deleted_at.is_(None), *holds)
        if self._joins_metric:
            query = query.join(JobMetric, JobMetric.job_number == Job.number)
        query = query.where(*(one.holds() for one in self.conditions), *self._after(columns))
        return self._cut(self._read(query.order_by(*(directed(one, self.wanted.sort) for one in columns))))

    def _sieve(self) -> Rows[Job]:
        """Reads in parts that grow, because usually a small part fills the page."""
        page: list[Any] = []
        scanned, size = 0, max(LEAST_SCANNED, GROWTH * self.limit)
        others = [one.holds() for one in self.conditions if one is not self._driver]
        while scanned < SCANNED:
            size = min(size, SCANNED - scanned)
            found = self._scan(size)
            query = self._jobs(found).where(Job.deleted_at.is_(None), *others).order_by(*self._order(found))
            page += self._read(query, self.limit + 1 - len(page))
            if len(page) > self.limit:
                break
            last = select(*found.c).order_by(*self._order(found)).offset(size - 1).limit(1)
            row = self.unit.session.execute(last).first()
            if row is None:  # the list has ended
                return self._cut(page)
            self.key, scanned, size = tuple(row), scanned + size, size * GROWTH
        if len(page) > self.limit or self.key is None:
            return self._cut(page)
        return Rows([row[0] for row in page], self._cursor(self.key))

    def _has_few(self, one: Condition) -> bool:
        some = one.numbers().limit(FEW + 1).subquery()
        return (self.unit.session.scalar(select(func.count()).select_from(some)) or 0) <= FEW

    # --- parts of queries

    @property
    def by_number(self) -> bool:
        return self.wanted.sort.key == CREATED

    @property
    def _joins_metric(self) -> bool:
        return self.wanted.sort.key.startswith(METRIC)

    @cached_property
    def _driver(self) -> Condition | None:
        """The condition in whose order the page is read."""
        if not self.by_number:
            return None
        return next((one for one in self.conditions if hasattr(one, "walks")), None)

    def _in_sort(self, one: Condition) -> bool:
        """Whether the condition is a range of the sort key."""
        key = self.wanted.sort.key
        if isinstance(one, Between):
            return one.column is Job.finished_at and key == ENDED
        if isinstance(one, MetricBound):
            return key == METRIC + one.name
        return key == NAME and (isinstance(one, NamePrefix) or (isinstance(one, Equal) and one.column is Job.name))

    def _sort_columns(self) -> tuple[list[Any], list[Any]]:
        """The columns of the sort key, of which the last is the job's number, and what jobs with this key have."""
        key = self.wanted.sort.key
        if key == ENDED:
            return [Job.finished_at, Job.number], [IS_ENDED]
        if key == NAME:  # the bound lets every database use the index
            return [in_bytes(Job.name), Job.number], [in_bytes(Job.name) > ""]
        if key == STATUS:
            return [Job.state, Job.number], [Job.state > ""]
        if key.startswith(METRIC):
            name = key.removeprefix(METRIC)
            return [JobMetric.value, JobMetric.job_number], [JobMetric.name == name]
        return [Job.number], []

    def _after(self, columns: Sequence[Any]) -> list[ColumnElement[bool]]:
        """That a row comes after the cursor."""
        if self.key is None:
            return []
        *others, number = columns
        past = _past(number, self.key[-1], self.wanted.sort.descending)
        if not others:
            return [past]
        return [_past(others[0], self.key[0], self.wanted.sort.descending) | ((others[0] == self.key[0]) & past)]

    def _scan(self, limit: int) -> Subquery:
        """At most `limit` sort keys after the cursor, in order, by an index."""
        parts = list(self._number_parts() if self.by_number else self._key_parts())
        limited = [part.limit(limit) for part in parts]
        if len(limited) == 1:
            return limited[0].subquery()
        found = union_all(*(select(part.subquery()) for part in limited)).subquery()
        return select(found).order_by(*self._order(found)).limit(limit).subquery()

    def _number_parts(self) -> Iterator[Select[Any]]:
        span = self._span()
        driver: Ordered | None = self._driver  # type: ignore[assignment]  # chosen by its method
        if driver is not None:
            yield from driver.walks(span)
        else:
            yield span.ordered(Job.number).where(Job.deleted_at.is_(None))

    def _key_parts(self) -> Iterator[Select[Any]]:
        """First the rest of the rows with the key of the cursor, then the rows with later keys."""
        columns, holds = self._sort_columns()
        (first, number), descending = columns, self.wanted.sort.descending
        ranges = [self._range(one, first) for one in self.conditions if self._in_sort(one)]
        base = select(first.label("key"), number.label("number")).where(*holds, *ranges)
        if self._joins_metric:
            base = base.join(Job, Job.number == JobMetric.job_number)
        base = base.where(Job.deleted_at.is_(None))
        order = [directed(one, self.wanted.sort) for one in columns]
        if self.key is None:
            yield base.order_by(*order)
            return
        value, last = self.key
        yield base.where(first == value, _past(number, last, descending)).order_by(*order)
        yield base.where(_past(first, value, descending)).order_by(*order)

    @staticmethod
    def _range(one: Condition, key: Any) -> ColumnElement[bool]:
        return one.of(key) if isinstance(one, MetricBound) else one.holds()

    def _span(self) -> Span:
        """The numbers after the cursor, within the bounds of the time of submission."""
        descending = self.wanted.sort.descending
        above, below = self._created_numbers
        if self.key is not None:
            above, below = (above, min(below, self.key[0])) if descending else (max(above, self.key[0]), below)
        return Span(above, below, descending)

    @cached_property
    def _created_numbers(self) -> tuple[int, int]:
        bounds = self.wanted.created
        if bounds is None:
            return 0, LAST
        by_time = select(Job.number).where(IS_SHOWN).limit(1)
        above, below = 0, LAST
        if bounds.after is not None:
            query = by_time.where(Job.created_at > bounds.after - SLACK).order_by(Job.created_at, Job.number)
            above = (self.unit.session.scalar(query) or LAST) - 1
        if bounds.before is not None:
            query = by_time.where(Job.created_at < bounds.before + SLACK)
            query = query.order_by(Job.created_at.desc(), Job.number.desc())
            below = (self.unit.session.scalar(query) or 0) + 1
        return above, below

    def _order(self, found: Subquery) -> list[ColumnElement[Any]]:
        columns = [found.c.number] if self.by_number else [found.c.key, found.c.number]
        return [directed(one, self.wanted.sort) for one in columns]

    def _jobs(self, found: Subquery) -> Select[Any]:
        keys = [] if self.by_number else [found.c.key]
        return select(Job, *keys, found.c.number).join(found, found.c.number == Job.number)

    # --- rows

    def _read(self, query: Select[Any], limit: int | None = None) -> list[Any]:
        if not self.with_spec:
            query = query.options(defer(Job.spec, raiseload=True))
        return list(self.unit.session.execute(query.limit(limit or self.limit + 1)).all())

    def _cut(self, rows: list[Any]) -> Rows[Job]:
        page = [tuple(row) for row in rows[: self.limit]]
        cursor = self._cursor(page[-1][1:]) if len(rows) > self.limit else None
        return Rows([row[0] for row in page], cursor)

    def _cursor(self, key: Key) -> str:
        """The cursor after the row with this key. Its last part is the job's number."""
        *others, number = key
        return self.place.cursor(*map(_text, others), number)


def _text(value: Any) -> str:
    """A part of a sort key as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(MOMENT)
    return repr(value) if isinstance(value, float) else str(value)


def _past(column: Any, value: Any, descending: bool) -> ColumnElement[bool]:
    bound = literal(value, column.type)
    past: ColumnElement[bool] = column < bound if descending else column > bound
    return past
