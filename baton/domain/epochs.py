"""The record of a finished epoch: one row of the history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from baton.domain.message import Message
from baton.domain.scalars import Count, Real, Shown, Small
from baton.domain.validation import WHOLE


class BestMetric(Message):
    """The best epoch so far. `stage` and `epoch` count from 1, `epoch` over the whole job."""

    metric: Annotated[str, Field(max_length=200), Shown]
    value: Real
    stage: Small
    epoch: Small


class EpochRow(Message):
    """One row of the history. All columns except CLOCK_COLUMNS are equal in every run of the same job.

    `stage` and `epoch` count from 1, `epoch` over the whole job, `stage_epoch` within its stage.
    """

    epoch: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
    stage: Annotated[int, Field(ge=1, le=1_000), WHOLE]
    stage_epoch: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
    global_step: Count
    image_size: Small
    batch_size: Small
    learning_rate: Real
    loss: Real
    accuracy: Real
    val_loss: Real
    val_accuracy: Real
    attempt: Small
    seconds: Real
    images_per_second: Real
    finished_at: datetime


CLOCK_COLUMNS = ("attempt", "seconds", "images_per_second", "finished_at")
