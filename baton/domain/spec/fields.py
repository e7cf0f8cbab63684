"""Field types that several parts of a spec share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema

from baton.domain.data_reference import REFERENCE_PATTERN, DataReference
from baton.domain.durations import DURATION_PATTERN, parse_duration
from baton.domain.extensions import TITLES, Kind, names_of
from baton.domain.validation import NUMBER, WHOLE

MAX_IMAGE_SIZE = 1024
MAX_OPTION = 1000


def one_of(names: Iterable[str], kind: Kind) -> BeforeValidator:
    """Accepts these names, and the extensions of this kind in the validation's context."""

    def check(value: object, info: ValidationInfo) -> object:
        known = [*names, *names_of(kind, info.context or ())]
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"unknown {TITLES[kind]} {value!r}; known: {', '.join(known)}")
        return value

    return BeforeValidator(check)


def named(names: Iterable[str]) -> WithJsonSchema:
    """The schema of a field with these names."""
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


def _option(value: object) -> object:
    fits = isinstance(value, bool | int | float | str) and (not isinstance(value, float) or math.isfinite(value))
    if not fits or (isinstance(value, str) and len(value) > MAX_OPTION):
        raise ValueError(f"must be a number, true, false, or a text of up to {MAX_OPTION} characters")
    return value


Option = Annotated[
    bool | int | float | str,
    PlainValidator(_option),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string", "maxLength": MAX_OPTION}]}),
]
Options = Annotated[dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")], Option], Field(max_length=50)]
"""Arguments by name for an extension, which checks them itself."""

ImageSize = Annotated[int, Field(ge=8, le=MAX_IMAGE_SIZE), WHOLE]


def _reference(value: str) -> str:
    return str(DataReference.parse(value))


Reference = Annotated[str, AfterValidator(_reference), WithJsonSchema({"type": "string", "pattern": REFERENCE_PATTERN})]
"""Pushed data: NAME, or NAME@sha256:DIGEST."""
