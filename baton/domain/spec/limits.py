"""Time limits of a job: without progress, and in total."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from baton.domain.durations import parse_duration
from baton.domain.spec.fields import DURATION_SCHEMA
from baton.domain.validation import Model

DEFAULT_STALL = 900.0
"""Seconds. The first step may take minutes, because it is compiled."""

AtLeastASecond = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=1, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1}, DURATION_SCHEMA]}),
]


class LimitsSpec(Model):
    """When an attempt without progress is ended, and when the job is ended."""

    stall: AtLeastASecond = DEFAULT_STALL
    """Seconds, or a duration. An attempt without progress for this long is ended, and the job is tried again."""
    max_runtime: AtLeastASecond | None = None
    """How long workers may hold the job in all attempts together. Then the job fails, and its checkpoints are kept."""
