"""Rows of the history: their metrics, rows of other releases, and the table."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from baton.domain.epochs import ClassifierRow, EpochRow, improves
from baton.domain.history_table import COLUMNS, table_lines

PROGRAM: dict[str, Any] = {
    "epoch": 2, "stage": 1, "stage_epoch": 2, "global_step": 500, "attempt": 1, "seconds": 9.5,
    "finished_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
CLASSIFIER: dict[str, Any] = {
    **PROGRAM, "image_size": 16, "batch_size": 64, "learning_rate": 1e-3, "loss": "NaN", "accuracy": 0.5,
    "val_loss": 0.25, "val_accuracy": 0.75, "images_per_second": 100.0,
}  # fmt: skip


def test_a_row_of_an_older_worker_gets_metrics() -> None:
    row = EpochRow.model_validate(CLASSIFIER)
    assert math.isnan(row.metrics.pop("loss"))
    assert row.metrics == {"accuracy": 0.5, "val_loss": 0.25, "val_accuracy": 0.75}


def test_the_fields_of_a_programs_row_repeat_its_metrics() -> None:
    row = EpochRow.model_validate({**PROGRAM, "metrics": {"val_loss": 1, "learning_rate": 0.1, "eval/dice": 0.5}})
    assert (row.val_loss, row.learning_rate, row.loss, row.image_size) == (1.0, 0.1, None, None)
    assert row.metrics == {"val_loss": 1.0, "learning_rate": 0.1, "eval/dice": 0.5}


def test_a_field_wins_over_its_metric() -> None:
    row = EpochRow.model_validate({**CLASSIFIER, "loss": 1.0, "metrics": {"loss": 2.0, "dice": 0.5}})
    assert row.metrics == {"loss": 1.0, "dice": 0.5, "accuracy": 0.5, "val_loss": 0.25, "val_accuracy": 0.75}


def test_a_row_survives_its_way_over_the_wire() -> None:
    row = ClassifierRow.model_validate({**CLASSIFIER, "loss": "Infinity"})
    assert EpochRow.model_validate_json(row.model_dump_json()).model_dump() == row.model_dump()


@pytest.mark.parametrize(
    "metrics", [{"a b": 1}, {"": 1}, {"1st": 1}, {"x": "many"}, dict.fromkeys(map("m{}".format, range(201)), 1), [1]]
)
def test_metrics_that_are_refused(metrics: Any) -> None:
    with pytest.raises(ValidationError, match="metrics"):
        EpochRow.model_validate({**PROGRAM, "metrics": metrics})


def test_a_classifiers_row_needs_all_its_fields() -> None:
    with pytest.raises(ValidationError, match="image_size"):
        ClassifierRow.model_validate({**PROGRAM, "metrics": {"loss": 1.0}})


def test_nan_is_never_the_best() -> None:
    assert not improves(math.nan, None, "min")
    assert improves(9.0, math.nan, "min")


def test_the_table_has_the_classifiers_columns_first_and_then_the_other_metrics() -> None:
    rows = [
        EpochRow.model_validate({**PROGRAM, "metrics": {"zeta": 1.0, "val_loss": 0.5, "seconds": 3.0}}),
        EpochRow.model_validate({**PROGRAM, "metrics": {"dice": 0.25}}),
    ]
    header, *lines = table_lines(rows)
    assert header == (*COLUMNS, "dice", "metrics:seconds", "zeta")
    first, second = (dict(zip(header, line, strict=True)) for line in lines)
    assert (first["val_loss"], first["dice"], first["zeta"], first["metrics:seconds"]) == (0.5, None, 1.0, 3.0)
    assert (first["seconds"], first["image_size"], second["dice"]) == (9.5, None, 0.25)
    assert next(table_lines([EpochRow.model_validate(CLASSIFIER)])) == COLUMNS
