"""Turns pydantic's errors into Baton's messages, with the field path as the user wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from baton.domain.errors import FieldError

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "needs at least {min_length}",
    "too_long": "takes at most {max_length}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "unknown {discriminator} '{tag}'; known: {expected_tags}",
    "union_tag_not_found": "needs {discriminator}",
    "string_pattern_mismatch": "must match {pattern}",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of fields",
    "dict_type": "must be a mapping",
    "model_attributes_type": "must be a mapping of fields",
}
_UNION_MEMBERS = {"constant", "reduce_on_plateau", "cyclic", "SplitFractions", "float", "[key]"}


class FieldValueError(ValueError):
    """An error of a check over several fields. `field`: the wrong field, relative to its model."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def _refuse(*kinds: type, what: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, kinds):
            raise ValueError(f"must be {what}")
        return value

    return BeforeValidator(check)


# Each must be the last annotation of a field: otherwise the schema lacks the field's bounds. Pydantic alone accepts "3"
# and true as numbers, but its schema does not. NUMBER accepts text, because YAML reads 1e5 as text.
WHOLE = _refuse(bool, str, what="a whole number")
NUMBER = _refuse(bool, what="a number")


class Model(BaseModel):
    """Base of strictly validated models: unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=4096, allow_inf_nan=False)


def _dotted(location: tuple[int | str, ...]) -> str:
    """The path as the user wrote it: pydantic adds names of union members, which are not in the spec."""
    return ".".join(str(p) for p in location if p not in _UNION_MEMBERS and "(" not in str(p))


def _message(error: Any) -> str:
    context = error.get("ctx", {})
    if "error" in context:
        return str(context["error"])
    template = _MESSAGES.get(error["type"])
    return template.format(**context) if template else error["msg"]


def _field_error(error: Any) -> FieldError:
    field, cause = _dotted(error["loc"]), error.get("ctx", {}).get("error")
    if isinstance(cause, FieldValueError):
        field = ".".join(p for p in (field, cause.field) if p)
    return FieldError(field or "(body)", _message(error))


def field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    """Pydantic's errors, one for each field. If members of a field are wrong, the field itself is not listed."""
    return findings(error.errors(include_url=False))


def findings(errors: Iterable[Any]) -> tuple[FieldError, ...]:
    """As `field_errors`, from pydantic's line errors, in the form in which FastAPI passes them on."""
    found: dict[str, FieldError] = {}
    for item in errors:
        finding = _field_error(item)
        found.setdefault(finding.field, finding)
    return tuple(f for name, f in found.items() if not any(other.startswith(name + ".") for other in found))
