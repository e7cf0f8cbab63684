"""Stores the points of series, which workers send. A series with too many points is thinned (baton.domain.series)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, insert, select

from baton.domain.metric_names import is_system
from baton.domain.series import (
    MOST_NAMES,
    Point,
    SeriesRecord,
    SeriesRecorded,
    SeriesRollback,
    extremes,
    thinned,
    width_for,
)
from service.db.tables import Job, Series, SeriesPoint
from service.db.unit_of_work import Unit

ROLLBACK_ROWS = 20_000
"""The approximate number of points that one transaction of a rollback deletes."""

_STEPS = 1_000
"""Steps in one statement."""

_NO_SYNC = {"synchronize_session": False}


def record(unit: Unit, attempt_id: str, message: SeriesRecord, most: int) -> SeriesRecorded:
    """Store points. `most`: points that a series keeps. A repeated call changes nothing. Raises LeaseLost."""
    job, _attempt = unit.held(attempt_id, message.fence)
    sent: dict[str, dict[int, Point]] = {}
    for point in message.points:
        sent.setdefault(point.name, {})[point.step] = Point(point.step, point.value, point.at)
    rows = {row.name: row for row in unit.session.scalars(select(Series).where(Series.job_id == job.id))}
    left_out = []
    with unit.session.no_autoflush:  # one flush for all series, not one for each
        for name, by_step in sent.items():
            points = [by_step[step] for step in sorted(by_step)]
            if name in rows:
                _add(unit, rows[name], points)
            elif len(rows) < MOST_NAMES:
                rows[name] = _begin(unit, job, name, points)
            else:
                left_out.append(name)
                continue
            _thin(unit, rows[name], most)
    return SeriesRecorded(left_out=tuple(left_out))


def roll_back(unit: Unit, attempt_id: str, message: SeriesRollback) -> bool:
    """Delete points after a step, except those of system metrics. Returns whether there may be more.

    Raises LeaseLost.
    """
    job, _attempt = unit.held(attempt_id, message.fence)
    later = select(Series).where(Series.job_id == job.id, Series.last_step > message.after_step).order_by(Series.number)
    deleted = 0
    for row in unit.session.scalars(later).all():
        if is_system(row.name):
            continue
        if deleted >= ROLLBACK_ROWS:
            return True
        after = (SeriesPoint.series == row.number, SeriesPoint.step > message.after_step)
        result = unit.session.execute(delete(SeriesPoint).where(*after), execution_options=_NO_SYNC)
        deleted += cast("CursorResult[Any]", result).rowcount
        _count_again(unit, row)
    return False


def points_of(unit: Unit, number: int, low: int = 0, high: int | None = None) -> list[Point]:
    """The points of a series by step, from step `low` to step `high`."""
    query = select(SeriesPoint.step, SeriesPoint.value, SeriesPoint.at).where(SeriesPoint.series == number)
    query = query.where(SeriesPoint.step >= low)
    if high is not None:
        query = query.where(SeriesPoint.step <= high)
    return [Point(*row) for row in unit.session.execute(query.order_by(SeriesPoint.step))]


def _begin(unit: Unit, job: Job, name: str, points: Sequence[Point]) -> Series:
    newest, (least, greatest) = points[-1], _range(point.value for point in points)
    row = Series(
        job_id=job.id,
        name=name,
        width=1,
        count=len(points),
        first_step=points[0].step,
        last_step=newest.step,
        last=newest.value,
        last_at=newest.at,
        minimum=least,
        maximum=greatest,
    )
    unit.session.add(row)
    unit.session.flush()
    _insert(unit, row.number, points)
    return row


def _add(unit: Unit, row: Series, points: Sequence[Point]) -> None:
    """Add points, of which each bucket keeps the extremes."""
    first, last = min(row.first_step, points[0].step), max(row.last_step, points[-1].step)
    if row.width == 1 and points[0].step > row.last_step:
        before, after = {}, {point.step: point for point in points}
    else:
        before = {point.step: point for point in points_of(unit, row.number, *_touched(row, points))}
        merged = before | {point.step: point for point in points}
        found = extremes([merged[step] for step in sorted(merged)], row.width)
        ends = [merged[step] for step in (first, last) if step in merged]
        after = {point.step: point for point in (*found, *ends)}
    changed = [step for step, point in before.items() if after.get(step) != point]
    _delete(unit, row.number, changed)
    _insert(unit, row.number, [point for step, point in after.items() if before.get(step) != point])
    row.count += len(after) - len(before)
    row.first_step = first
    if points[-1].step == last:
        row.last_step, row.last, row.last_at = last, points[-1].value, points[-1].at
    known = [value for value in (row.minimum, row.maximum) if value is not None]
    row.minimum, row.maximum = _range((*known, *(point.value for point in points)))
    if any(step in after for step in changed):  # a value was replaced, which may have been an extreme
        _count_again(unit, row)


def _touched(row: Series, points: Sequence[Point]) -> tuple[int, int]:
    """The steps of the buckets that may change: those of the points, and those of the ends that are ends no more."""
    low, high = points[0].step, points[-1].step
    low, high = (min(low, row.last_step) if high > row.last_step else low), max(high, row.first_step)
    return low // row.width * row.width, high // row.width * row.width + row.width - 1


def _thin(unit: Unit, row: Series, most: int) -> None:
    """Widen the buckets until at most `most` points are kept, and the two ends."""
    if row.count <= most:
        return
    points = points_of(unit, row.number)
    width = width_for(points, row.width, most)
    if width > row.width:
        kept = {point.step for point in thinned(points, width)}
        _delete(unit, row.number, [point.step for point in points if point.step not in kept])
        row.width, row.count = width, len(kept)


def _count_again(unit: Unit, row: Series) -> None:
    """Read the facts of a series from its points. A series without points is deleted."""
    unit.session.flush()
    step, value = SeriesPoint.step, SeriesPoint.value
    query = select(func.count(), func.min(step), func.max(step), func.min(value), func.max(value))
    count, first, last, least, greatest = unit.session.execute(query.where(SeriesPoint.series == row.number)).one()
    if not count:
        unit.session.delete(row)
        unit.session.flush()
        return
    newest = points_of(unit, row.number, last)[0]
    row.count, row.first_step, row.last_step, row.last, row.last_at = count, first, last, newest.value, newest.at
    row.minimum, row.maximum = (None if value is None or math.isnan(value) else value for value in (least, greatest))


def _range(values: Iterable[float]) -> tuple[float | None, float | None]:
    known = [value for value in values if not math.isnan(value)]
    return min(known, default=None), max(known, default=None)


def _insert(unit: Unit, number: int, points: Sequence[Point]) -> None:
    if points:
        unit.session.execute(insert(SeriesPoint), [{"series": number, **point._asdict()} for point in points])


def _delete(unit: Unit, number: int, steps: Sequence[int]) -> None:
    for begin in range(0, len(steps), _STEPS):
        some = steps[begin : begin + _STEPS]
        query = delete(SeriesPoint).where(SeriesPoint.series == number, SeriesPoint.step.in_(some))
        unit.session.execute(query, execution_options=_NO_SYNC)
