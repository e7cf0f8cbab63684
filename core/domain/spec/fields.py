"""Types of single fields that several parts of a spec share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from core.domain.validation import DURATION_PATTERN, NUMBER, WHOLE, parse_duration

MAX_IMAGE_SIZE = 1024


def one_of(names: Iterable[str], what: str) -> BeforeValidator:
    """Refuses a name that is not among these, and lists them; `what` they are, in a word."""

    def check(value: object) -> object:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"unknown {what} {value!r}; known: {', '.join(names)}")
        return value

    return BeforeValidator(check)


def named(names: Iterable[str]) -> WithJsonSchema:
    """How a schema says it."""
    return WithJsonSchema({"type": "string", "enum": list(names)})


DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN}
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, DURATION_SCHEMA]}),
]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False), NUMBER]
Fraction = Annotated[float, Field(gt=0, lt=1), NUMBER]
ImageSize = Annotated[int, Field(ge=8, le=MAX_IMAGE_SIZE), WHOLE]
