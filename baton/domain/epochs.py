"""The record of a finished epoch: one row of the history.

>>> row = EpochRow(
...     epoch=2, stage=1, stage_epoch=2, global_step=500, attempt=1, seconds=9.5,
...     finished_at="2026-01-01T00:00:00Z", metrics={"val_loss": 0.25, "dice": 0.8},
... )
>>> row.metrics["dice"], row.val_loss, row.val_accuracy
(0.8, 0.25, None)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from baton.domain.message_base import Message
from baton.domain.scalars import Count, Metrics, Real, Shown, Small
from baton.domain.validation import WHOLE

CLASSIFIER_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
"""The metrics in each row of an image classifier. A row also has a field for each of them."""

METRIC_FIELDS = (*CLASSIFIER_METRICS, "learning_rate")
"""The fields of a row whose value may come from the metric of the same name."""

CLOCK_COLUMNS = ("attempt", "seconds", "images_per_second", "finished_at")


class BestMetric(Message):
    """The best epoch so far. `stage` and `epoch` count from 1, `epoch` over the whole job."""

    metric: Annotated[str, Field(max_length=200), Shown]
    value: Real
    stage: Small
    epoch: Small


class EpochRow(Message):
    """One row of the history. All columns except CLOCK_COLUMNS are equal in every run of the same job.

    `stage` and `epoch` count from 1, `epoch` over the whole job, `stage_epoch` within its stage. `metrics`: numbers by
    name. `seconds`: duration of the epoch.

    In the row of a program, `stage` is 1, `stage_epoch` equals `epoch`, and `image_size`, `batch_size` and
    `images_per_second` are None. `loss`, `accuracy`, `val_loss`, `val_accuracy` and `learning_rate` repeat the metrics
    with these names; each is None if the program does not have it.

    A release before protocol 6 does not know `metrics`. Its rows get the metrics `loss`, `accuracy`, `val_loss` and
    `val_accuracy` from the fields.
    """

    epoch: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
    stage: Annotated[int, Field(ge=1, le=1_000), WHOLE]
    stage_epoch: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
    global_step: Count
    image_size: Small | None = None
    batch_size: Small | None = None
    learning_rate: Real | None = None
    loss: Real | None = None
    accuracy: Real | None = None
    val_loss: Real | None = None
    val_accuracy: Real | None = None
    attempt: Small
    seconds: Real
    images_per_second: Real | None = None
    finished_at: datetime
    metrics: Metrics = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """Sets the fields from the metrics, and the metrics from the fields. A field wins over its metric."""
        if not isinstance(data, Mapping) or not isinstance(given := data.get("metrics") or {}, Mapping):
            return data
        fields = {name: data[name] for name in CLASSIFIER_METRICS if data.get(name) is not None}
        missing = {name: given[name] for name in METRIC_FIELDS if data.get(name) is None and name in given}
        return {**data, **missing, "metrics": {**given, **fields}}


class ClassifierRow(EpochRow):
    """The row of an image classifier: it has all fields."""

    image_size: Small
    batch_size: Small
    learning_rate: Real
    loss: Real
    accuracy: Real
    val_loss: Real
    val_accuracy: Real
    images_per_second: Real


class EpochRollback(Message):
    """Deletes the rows of a held attempt's job after an epoch, because the attempt continues from there. 0: all rows.

    `best`: the best epoch up to there; None: there is none.
    """

    fence: Count
    after_epoch: Annotated[int, Field(ge=0, le=2**31 - 1), WHOLE]
    best: BestMetric | None = None


def improves(value: float, best: float | None, mode: Literal["min", "max"]) -> bool:
    """Whether a metric's value is better than the best one so far. The first of equal values stays the best.

    NaN is never better.

    >>> improves(0.2, None, "min"), improves(0.3, 0.2, "min"), improves(0.3, 0.2, "max"), improves(0.2, 0.2, "max")
    (True, False, True, False)
    """
    if math.isnan(value):
        return False
    if best is None or math.isnan(best):
        return True
    return value < best if mode == "min" else value > best
