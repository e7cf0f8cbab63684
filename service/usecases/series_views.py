"""The series of a job as its users see them: the list, points for charts, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from sqlalchemy import select

from baton.domain.series import Point, SeriesView, downsampled
from baton.domain.views import Listing
from service.db.tables import Series
from service.db.unit_of_work import Unit
from service.errors import NotFound
from service.usecases.series import points_of

CSV_HEAD = "name,step,value,at\n"
_FACTS = ("name", "count", "width", "first_step", "last_step", "last", "last_at", "minimum", "maximum")
_SHOWN = 20
"""Names in an error."""


def series_views(unit: Unit, job_id: str, names: Sequence[str], most: int) -> Listing[SeriesView]:
    """The series of a job by name. With `names` only these, with about `most` points of each. Raises NotFound."""
    rows = _find(unit, job_id, names)
    return Listing(items=[_view(row, downsampled(points_of(unit, row.number), most) if names else []) for row in rows])


def series_names(unit: Unit, job_id: str, names: Sequence[str]) -> list[str]:
    """These names, or all of the job's series. Raises NotFound."""
    return [row.name for row in _find(unit, job_id, names)]


def csv_rows(unit: Unit, job_id: str, name: str, most: int | None) -> str:
    """The points of a series as lines of CSV below CSV_HEAD. `most`: None for all points that are kept.

    Empty if the series is deleted.
    """
    number = unit.session.scalar(select(Series.number).where(Series.job_id == job_id, Series.name == name))
    points = [] if number is None else points_of(unit, number)
    text = io.StringIO()
    shown = points if most is None else downsampled(points, most)
    # Values have the form of the JSON answer: NaN, Infinity.
    csv.writer(text, lineterminator="\n").writerows(
        (name, point.step, json.dumps(point.value), point.at) for point in shown
    )
    return text.getvalue()


def _view(row: Series, points: list[Point]) -> SeriesView:
    return SeriesView(**{name: getattr(row, name) for name in _FACTS}, points=points)


def _find(unit: Unit, job_id: str, names: Sequence[str]) -> list[Series]:
    job = unit.find_job(job_id)
    rows = {row.name: row for row in unit.session.scalars(select(Series).where(Series.job_id == job.id))}
    missing = next((name for name in names if name not in rows), None)
    if missing is not None:
        known = ", ".join(sorted(rows)[:_SHOWN]) + (", …" if len(rows) > _SHOWN else "")
        raise NotFound(f"the job has no series {missing[:100]!r}; there are: {known or 'none yet'}")
    return [rows[name] for name in (dict.fromkeys(names) if names else sorted(rows))]
