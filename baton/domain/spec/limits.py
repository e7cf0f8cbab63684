"""Limits of a job: time without progress, time in total, GPU hours and money."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from baton.domain.durations import parse_duration
from baton.domain.spec.fields import DURATION_SCHEMA
from baton.domain.spec.versions import Since
from baton.domain.validation import NUMBER, Model

DEFAULT_STALL = 900.0
"""Seconds. The first step may take minutes, because it is compiled."""

AtLeastASecond = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=1, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1}, DURATION_SCHEMA]}),
]


class BudgetSpec(Model):
    """What a job may use in all attempts together. When it is used up, the job is paused with its state saved."""

    gpu_hours: Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False), NUMBER] | None = None
    """Hours of GPUs: an hour on a worker with two GPUs counts as two. Workers without a GPU use none."""
    money: Annotated[float, Field(gt=0, le=1_000_000_000, allow_inf_nan=False), NUMBER] | None = None
    """Money, by the prices that the service has for devices (BATON_PRICES), in their currency."""

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.gpu_hours is None and self.money is None:
            raise ValueError("needs gpu_hours, money, or both")
        return self


class LimitsSpec(Model):
    """When an attempt without progress is ended, and when the job is paused because it has used enough."""

    stall: AtLeastASecond = DEFAULT_STALL
    """Seconds, or a duration. An attempt without progress for this long is ended, and the job is tried again."""
    max_runtime: AtLeastASecond | None = None
    """How long workers may hold the job in all attempts together. Then it is paused with its state saved."""
    budget: Annotated[BudgetSpec | None, Since(6)] = None
    """What the job may use in all attempts together. Then it is paused with its state saved."""
