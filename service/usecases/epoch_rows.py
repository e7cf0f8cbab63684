"""Converts the rows of the history between messages and SQL.

The column `metrics` holds all metrics of a row. An image classifier's row also has the columns of METRIC_FIELDS, and
these win: the previous release, which may still run during an upgrade, writes only them. If it replaces a row of this
release, `metrics` keeps the old values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Select, select

from baton.domain.epochs import CLASSIFIER_METRICS, METRIC_FIELDS, EpochRow
from baton.domain.lenient_reading import mapping, number_or, read_stored
from service.db.tables import Epoch

_OF_CLASSIFIER = (*METRIC_FIELDS, "image_size", "batch_size", "images_per_second")
_COMMON = tuple(name for name in EpochRow.model_fields if name not in {*_OF_CLASSIFIER, "metrics"})


def stored(job_id: str, fence: int, row: EpochRow, metrics: dict[str, Any]) -> Epoch:
    """The row for SQL. `metrics`: those of the row as JSON data, in which NaN is text."""
    values = row.model_dump(exclude={"metrics"})
    values |= {"image_size": row.image_size or 0, "batch_size": row.batch_size or 0}
    return Epoch(job_id=job_id, fence=fence, **values, metrics=metrics)


def shown(row: Epoch) -> EpochRow:
    """The row as a message."""
    values = {name: getattr(row, name) for name in _COMMON}
    metrics = mapping(row.metrics)
    if row.image_size:
        values |= {name: getattr(row, name) for name in _OF_CLASSIFIER}
        metrics |= {name: values[name] for name in CLASSIFIER_METRICS}
    return read_stored(EpochRow, {**values, "metrics": metrics})


def values_of(metric: str) -> Select[Any]:
    """A query for one metric: job, epoch, and the columns that `read_values` needs."""
    field = getattr(Epoch, metric) if metric in METRIC_FIELDS else Epoch.learning_rate
    return select(Epoch.job_id, Epoch.epoch, Epoch.image_size, field, Epoch.metrics[metric].as_string())


def read_values(metric: str, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[str, int, float]]:
    """Job, epoch and value for each row of `values_of` that has the metric."""
    for job_id, epoch, image_size, field, text in rows:
        if image_size and metric in METRIC_FIELDS:
            yield job_id, epoch, field
        elif text is not None:
            yield job_id, epoch, number_or(text)
