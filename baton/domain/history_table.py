"""The history as a table: the columns of EpochRow, then all other metrics sorted by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from baton.domain.epochs import METRIC_FIELDS, EpochRow

COLUMNS = tuple(name for name in EpochRow.model_fields if name != "metrics")
"""The columns that every table has. The history of an image classifier has no others."""


def table_columns(rows: Iterable[EpochRow]) -> tuple[str, ...]:
    """The header of the table.

    A metric with the name of a column that holds something else, such as `seconds`, has the column `metrics:seconds`.
    """
    names = {name for row in rows for name in row.metrics if name not in METRIC_FIELDS}
    return (*COLUMNS, *(_column(name) for name in sorted(names)))


def table_lines(rows: Sequence[EpochRow]) -> Iterator[tuple[object, ...]]:
    """The header, then a line for each row. None where a row lacks the metric. Times are text."""
    columns = table_columns(rows)
    yield columns
    for row in rows:
        data = row.model_dump(mode="json")
        cells = {_column(name): value for name, value in data.pop("metrics").items()} | data
        yield tuple(cells.get(name) for name in columns)


def _column(name: str) -> str:
    return f"metrics:{name}" if name in COLUMNS and name not in METRIC_FIELDS else name
