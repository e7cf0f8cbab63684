"""Types of single values in messages, with bounds that every database and every JSON reader can hold."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from baton.domain.metric_names import METRIC_NAME
from baton.domain.queues import QUEUE
from baton.domain.text import safe
from baton.domain.validation import NUMBER, WHOLE

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    """The text with each terminal control character replaced by U+FFFD. Line feeds and tabs stay."""
    return _CONTROL.sub("\ufffd", text)


def _shown(value: object, read: ValidatorFunctionWrapHandler) -> str:
    # Runs before validation: pydantic refuses text with lone surrogates, and the message would be lost.
    return shown(read(safe(value) if isinstance(value, str) else value))


Shown = WrapValidator(_shown)
"""For text from workers that is shown to people, also in a terminal. Escapes what UTF-8 cannot encode."""

Crc32c = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=900)]


Small = Annotated[int, Field(ge=0, le=2**31 - 1), WHOLE]
"""A count that an INTEGER column holds."""

NAME = r"^[a-z][a-z_]{0,49}$"
"""The form of all enum values."""
Name = Annotated[str, Field(pattern=NAME)]
"""An enum value of a newer version."""

Count = Annotated[int, Field(ge=0, le=2**53), WHOLE]
"""A whole number that every database and every JSON reader can hold."""

MetricName = Annotated[str, Field(pattern=METRIC_NAME)]
"""The name of a metric, such as `val_loss` or `eval/dice`."""

QueueName = Annotated[str, Field(pattern=QUEUE)]
Text = Annotated[str, Field(max_length=20_000), Shown]
Duration = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False), NUMBER]
"""Seconds."""

Real = Annotated[float, NUMBER]
"""Any number, including NaN."""

Numbers = Annotated[dict[Annotated[str, Field(max_length=200), Shown], Real], Field(max_length=200)]
"""Numbers by name, such as metrics. Every answer about the job contains them all."""

Metrics = Annotated[dict[MetricName, Real], Field(max_length=200, json_schema_extra={"additionalProperties": False})]
"""The metrics of one row of the history."""

Buckets = Annotated[dict[str, Duration], Field(max_length=50)]
"""Seconds since the claim by bucket (baton.domain.goodput). An unknown bucket counts as `other`."""
