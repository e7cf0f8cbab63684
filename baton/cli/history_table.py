"""The history of a job as a table for the terminal, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from rich.table import Table

from baton.cli.render import metric_text, table
from baton.domain.epochs import CLASSIFIER_METRICS
from baton.domain.history_table import table_lines
from baton.domain.wire import EpochRow

MOST = 5
"""How many metrics the table shows if none is named: as many as fit in 80 columns."""

SHORT = {"accuracy": "acc", "val_loss": "v.loss", "val_accuracy": "v.acc"}


def metric_names(rows: Sequence[EpochRow]) -> list[str]:
    """The names of all metrics, in the order in which the rows have them."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))


def left_out(rows: Sequence[EpochRow]) -> int:
    """How many metrics `history_table` does not show if none is named."""
    return 0 if _is_classifier(rows) else max(0, len(metric_names(rows)) - MOST)


def history_table(rows: Sequence[EpochRow], metrics: Sequence[str] = ()) -> Table:
    """The history, one row for each epoch.

    `metrics`: those to show. If it is empty: the four of a classifier, or the first MOST of a program.
    """
    classifier = _is_classifier(rows)
    chosen = list(metrics) or (list(CLASSIFIER_METRICS) if classifier else metric_names(rows)[:MOST])
    cells: dict[str, Callable[[EpochRow], str]] = {"epoch": lambda row: str(row.epoch)}
    if classifier:
        cells |= {"stage": lambda row: str(row.stage), "px": lambda row: _text(row.image_size)}
    cells["step"] = lambda row: str(row.global_step)
    if classifier:
        cells["rate"] = lambda row: "" if row.learning_rate is None else f"{row.learning_rate:.2e}"
    after: dict[str, Callable[[EpochRow], str]] = {
        "s": lambda row: f"{row.seconds:.{0 if row.seconds >= 100 else 1}f}",
        "att": lambda row: str(row.attempt),
    }
    titles = [SHORT.get(name, name) if classifier else name for name in chosen]
    columns = (*cells, *titles, *after)
    made = table(*columns, right=columns)
    for row in rows:
        values = [metric_text(row.metrics[name]) if name in row.metrics else "" for name in chosen]
        made.add_row(*(cell(row) for cell in cells.values()), *values, *(cell(row) for cell in after.values()))
    return made


def history_csv(rows: Sequence[EpochRow]) -> str:
    """The history with all columns as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table_lines(rows))
    return text.getvalue()


def _is_classifier(rows: Sequence[EpochRow]) -> bool:
    return not rows or rows[0].image_size is not None


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
