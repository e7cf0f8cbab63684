"""Checkpoint cadence and retry limits of a job."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from baton.domain.durations import parse_duration
from baton.domain.spec.fields import DURATION_SCHEMA, Seconds
from baton.domain.validation import NUMBER, WHOLE, Model

_STEPS = re.compile(r"(\d+)\s*steps?")


class EverySteps(Model):
    """A checkpoint every `steps` steps."""

    steps: Annotated[int, Field(ge=1), WHOLE]


class EverySeconds(Model):
    """A checkpoint every `seconds` seconds."""

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]


def _parse_cadence(value: object) -> object:
    if value == "auto" or isinstance(value, EverySteps | EverySeconds):
        return value
    if isinstance(value, str) and (match := _STEPS.fullmatch(value.strip())):
        return EverySteps(steps=max(1, int(match[1])))
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise ValueError("must be auto, a number of steps such as '500 steps', or a duration such as 60s") from None
    if not 1 <= seconds < math.inf:
        raise ValueError("must be at least 1s")
    return EverySeconds(seconds=seconds)


def _show_cadence(value: object) -> object:
    match value:
        case EverySteps(steps=n):
            return f"{n} steps"
        case EverySeconds(seconds=s):
            return f"{s:g}s"
    return value


_CADENCE_SCHEMA = {
    "anyOf": [
        {"type": "string", "enum": ["auto"]},
        {"type": "string", "pattern": r"^[0-9]{1,15} steps?$"},
        DURATION_SCHEMA,
        {"type": "number", "minimum": 1},
    ]
}
Cadence = Annotated[
    Literal["auto"] | EverySteps | EverySeconds,
    BeforeValidator(_parse_cadence),
    PlainSerializer(_show_cadence),
    WithJsonSchema(_CADENCE_SCHEMA),
]


class CheckpointSpec(Model):
    """When to save the training state, and how many checkpoints to keep."""

    every: Cadence = "auto"
    """auto, a duration such as 60s, or a number such as 500 steps; auto: computed from costs and interruptions."""
    keep: Annotated[int, Field(ge=1, le=1000), WHOLE] = 3
    """How many committed checkpoints are kept in addition to that of the best epoch, until the job succeeds."""


class RetrySpec(Model):
    """How often a job is tried again."""

    max_failures: Annotated[int, Field(ge=0, le=1000), WHOLE] = 3
    """How many counted failures are allowed; one more ends the job."""
    max_attempts_without_progress: Annotated[int, Field(ge=1, le=1000), WHOLE] = 5
    """The job fails after this many attempts in a row without a new step in a checkpoint."""
    backoff: Seconds = 30.0
    """Seconds, or a duration, to wait after the first failure; doubled with each further failure, at most 1 h."""
