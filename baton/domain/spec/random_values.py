"""Field types for values that are drawn for each image: from a range of numbers, or from a list of choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from baton.domain.validation import FieldValueError

Range = float | tuple[float, float]
"""A number for all images, or (low, high): a number is drawn for each image."""
Steps = int | tuple[int, int]
"""The same in whole numbers, both ends included."""
MAX_CHOICES = 32


@dataclass(frozen=True)
class Between:
    """Annotates `Range`, or `Steps` if `whole`, with bounds. The bounds are checked, and the schema has them."""

    low: float
    high: float
    whole: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {"type": "integer" if self.whole else "number", "minimum": self.low, "maximum": self.high}
        return {"anyOf": [number, {"type": "array", "items": number, "minItems": 2, "maxItems": 2}]}

    def read(self, value: object) -> float | tuple[float, ...]:
        """Returns a number, or two with the lower one first. Raises ValueError.

        >>> Between(0, 10).read([0.5, 2])
        (0.5, 2.0)
        """
        if not isinstance(value, list | tuple):
            return self._number(value)
        found = tuple(self._number(member) for member in value)
        if len(found) != 2 or found[0] >= found[1]:
            raise ValueError(f"a range is [low, high] with low below high, not {value!r:.60}")
        return found

    def _number(self, value: object) -> float:
        what = "a whole number" if self.whole else "a number"
        number = _as_number(value, self.whole)
        if number is None or not self.low <= number <= self.high:
            wanted = f"{what} from {self.low:g} to {self.high:g}, or a range [low, high] of such numbers"
            raise ValueError(f"must be {wanted}, not {value!r:.60}")
        return number


def _as_number(value: object, whole: bool) -> float | None:
    """The number, or None if the value is not one. Text is accepted, because YAML reads 1e5 as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not whole:
        return number
    return int(number) if number.is_integer() and not isinstance(value, str) else None


@dataclass(frozen=True)
class OneOrSome:
    """Annotates a value that is one of `known`, or a list of some of them to draw from. `what`: a word for messages."""

    known: tuple[str | int, ...]
    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kind = "integer" if isinstance(self.known[0], int) else "string"
        one = {"type": kind, "enum": list(self.known)}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CHOICES}]}

    def read(self, value: object) -> object:
        """Returns one value or a tuple. Raises ValueError; for a list, the error names the index."""
        if not isinstance(value, list | tuple):
            return self._check(value)
        if not 1 <= len(value) <= MAX_CHOICES:
            raise ValueError(f"a list to choose from has 1 to {MAX_CHOICES} members")
        return tuple(self._check(member, str(k)) for k, member in enumerate(value))

    def _check(self, value: object, place: str = "") -> object:
        if type(value) not in {str, int} or value not in self.known:
            message = f"unknown {self.what} {value!r:.60}; known: {', '.join(map(str, self.known))}"
            raise FieldValueError(place, message)
        return value


class _PerChannel:
    """True, false, or the share of images for which it is true."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, {"type": "number", "minimum": 0, "maximum": 1}]}

    @staticmethod
    def read(value: object) -> object:
        """Returns a flag or a number. Raises ValueError."""
        share = value if isinstance(value, bool) else _as_number(value, whole=False)
        if share is None or not 0 <= share <= 1:
            raise ValueError(f"must be true, false or the share of images, from 0 to 1, not {value!r:.60}")
        # 1 and true would be equal cache keys, but imgaug draws a random value for 1. So 0 and 1 become flags.
        return bool(share) if share in {0, 1} else share


PerChannel = Annotated[bool | float, _PerChannel()]


def field_of(value: object, name: str) -> object:
    """The field `name` of a mapping. Raises ValueError if the value is not a mapping or has no such field."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of fields")
    if name not in value:
        raise FieldValueError(name, "is required")
    return value[name]
