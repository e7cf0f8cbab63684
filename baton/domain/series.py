"""Series: the values of a metric by step. Which points are kept when a series is thinned or downsampled.

A series is divided into buckets of `width` steps. Each bucket keeps its least and its greatest value, so no peak is
lost, and the series keeps its first and its last point. Min and max of buckets are the aggregation of M4 (Jugel and
others, "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014), with buckets of steps.

The result does not depend on how the points arrive: thinning first by 2 and then by 4 steps keeps the same points as
thinning once by 4. So a job that was interrupted ends with the same series as a job that was not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from baton.domain.message_base import Message
from baton.domain.scalars import Count, MetricName, Real
from baton.domain.validation import NUMBER, WHOLE

MOST_NAMES = 200
"""Series of one job."""

BATCH_POINTS = 5_000
"""Points of one call."""

UnixSeconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False), NUMBER]


class Point(NamedTuple):
    """One point of a series. `at`: Unix seconds."""

    step: int
    value: float
    at: float


class SeriesPoint(Message):
    """A value of the metric `name` at `step`. `at`: when it was measured, in Unix seconds."""

    name: MetricName
    step: Count
    value: Real
    at: UnixSeconds


class SeriesRecord(Message):
    """Records points of a held attempt. A point replaces an earlier point with the same name and step."""

    fence: Count
    points: Annotated[tuple[SeriesPoint, ...], Field(max_length=BATCH_POINTS)]


class SeriesRecorded(Message):
    """The answer. `left_out`: names whose points were not stored, because the job has MOST_NAMES other series."""

    left_out: tuple[str, ...] = ()


class SeriesRollback(Message):
    """Deletes the points after a step, because an attempt continues from there. -1: all points.

    System metrics are kept.
    """

    fence: Count
    after_step: Annotated[int, Field(ge=-1, le=2**53), WHOLE]


class SeriesView(Message):
    """A series of a job. `count`: the points that are kept. `width`: steps of a bucket of which only the least and the
    greatest value are kept; 1: all points are kept. `last`, `last_at`: value and time of the newest point.

    `minimum`, `maximum`: over all points that are numbers; None if there are none. `points`: (step, value, Unix
    seconds) in order of the steps, if the request names the series.
    """

    name: str
    count: int
    width: int
    first_step: int
    last_step: int
    last: Real
    last_at: float
    minimum: Real | None
    maximum: Real | None
    points: list[tuple[int, Real, float]] = Field(default_factory=list)


def extremes(points: Iterable[Point], width: int) -> list[Point]:
    """The least and the greatest value of each bucket, in order. Of equal values, the first. `points`: by step.

    NaN is neither the least nor the greatest value. A bucket without numbers keeps its first point.

    >>> extremes([Point(0, 3.0, 0), Point(1, 1.0, 0), Point(2, 2.0, 0), Point(3, 3.0, 0)], 4)
    [Point(step=0, value=3.0, at=0), Point(step=1, value=1.0, at=0)]
    """
    kept: list[Point] = []
    bucket, least, greatest = -1, None, None  # type: int, Point | None, Point | None
    for point in points:
        if point.step // width != bucket:
            kept += _in_order(least, greatest)
            bucket, least, greatest = point.step // width, point, point
        elif not math.isnan(point.value):
            if least is None or not point.value >= least.value:  # also if `least` is NaN
                least = point
            if greatest is None or not point.value <= greatest.value:
                greatest = point
    return kept + _in_order(least, greatest)


def _in_order(least: Point | None, greatest: Point | None) -> list[Point]:
    return sorted({point for point in (least, greatest) if point is not None}, key=lambda point: point.step)


def thinned(points: Sequence[Point], width: int) -> list[Point]:
    """The points that a series keeps: those of `extremes`, its first and its last. `points`: by step.

    >>> [point.step for point in thinned([Point(step, float(step % 3), 0) for step in range(9)], 8)]
    [0, 2, 8]
    """
    if not points:
        return []
    kept = {point.step: point for point in (points[0], *extremes(points, width), points[-1])}
    return [kept[step] for step in sorted(kept)]


def width_for(points: Sequence[Point], width: int, most: int) -> int:
    """The smallest bucket, doubled from `width`, with which at most `most` extremes are kept.

    It depends on the points alone: the number of extremes never falls when points are added.

    >>> width_for([Point(step, 0.5 * step, 0) for step in range(100)], 1, 30)
    8
    """
    while len(extremes(points, width)) > most:
        width *= 2
    return width


def downsampled(points: Sequence[Point], most: int) -> list[Point]:
    """About `most` points for a chart, with the peaks. `most`: at least 2; two more are possible.

    >>> len(downsampled([Point(step, float(step % 7), 0) for step in range(1000)], 100)) <= 102
    True
    """
    if len(points) <= most:
        return list(points)
    span = points[-1].step - points[0].step + 1
    buckets = max(1, most // 2 - 1)  # buckets are aligned to step 0, so the first and the last may be cut
    return thinned(points, max(1, -(-span // buckets)))
