"""The augmentation of a stage: a name from the catalog or an extension, or a list of augmenters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, TypeAdapter, ValidationInfo, model_validator
from pydantic_core import CoreSchema

from baton.domain.catalog import AUGMENTATIONS
from baton.domain.extensions import names_of
from baton.domain.spec.augmenters import Augmenter
from baton.domain.spec.fields import named
from baton.domain.validation import FieldValueError, Model

Augmenters = Annotated[tuple[Augmenter, ...], Field(min_length=1, max_length=32)]
_LISTED: TypeAdapter[tuple[Any, ...]] = TypeAdapter(Augmenters)


def _some(value: object) -> object:
    """Checks the form of `some_of`: a number, or [least, most]. AugmentationSpec compares it with its augmenters."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    match pair:
        case (int(), int()) if not {bool} & set(map(type, pair)) and 0 <= pair[0] <= pair[1]:
            fits = True
        case (int(least), None):
            fits = type(least) is int and least >= 0
        case _:
            fits = False
    if not fits:
        raise ValueError("must be a number of augmenters, or [least, most], where most may be null for all of them")
    return pair if isinstance(value, list | tuple) else value


_COUNT = {"type": "integer", "minimum": 0}


class _SomeOf:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        most = {"anyOf": [_COUNT, {"type": "null"}]}
        pair = {"type": "array", "prefixItems": [_COUNT, most], "minItems": 2, "maxItems": 2}
        return {"anyOf": [_COUNT, pair]}


class AugmentationSpec(Model):
    """Augmenters that are applied in a row: all of them, or some that are drawn for each image."""

    order: Literal["fixed", "random"] = "fixed"
    """random: a new order for each batch."""
    some_of: Annotated[int | tuple[int, int | None], BeforeValidator(_some), _SomeOf()] | None = None
    """How many are drawn for each image: a number, or [least, most], where most may be null for all; left out: all."""
    augmenters: Augmenters
    """The augmenters, with their parameters."""

    @model_validator(mode="after")
    def _has_so_many(self) -> Self:
        wanted = self.some_of if isinstance(self.some_of, tuple) else (self.some_of,)
        if any(count is not None and count > len(self.augmenters) for count in wanted):
            raise FieldValueError("some_of", f"must be at most {len(self.augmenters)}, as there are no more augmenters")
        return self

    def __str__(self) -> str:
        return f"[{', '.join(augmenter.name for augmenter in self.augmenters)}]"


def _read(value: object, info: ValidationInfo) -> object:
    """Reads all accepted forms of `augmentation`: a known name, a mapping, or a list of augmenters."""
    if isinstance(value, AugmentationSpec):
        return value
    if isinstance(value, str):
        known = [*AUGMENTATIONS, *names_of("augmentation", info.context or ())]
        if value not in known:
            raise ValueError(f"unknown augmentation {value!r:.60}; known: {', '.join(known)}")
        return value
    if isinstance(value, Mapping):
        return AugmentationSpec.model_validate(value)
    if isinstance(value, list | tuple):
        return AugmentationSpec(augmenters=_LISTED.validate_python(value))
    raise ValueError(f"must be {', '.join(AUGMENTATIONS)}, a mapping with augmenters, or a list of augmenters")


class _ListToo:
    """Adds the bare list of augmenters to the schema: `_read` accepts it, but pydantic's schema lacks it."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        whole = next(member for member in found["anyOf"] if "$ref" in member)
        augmenters = dict(handler.resolve_ref_schema(whole)["properties"]["augmenters"])
        augmenters.pop("title", None)
        return {**found, "anyOf": [*found["anyOf"], augmenters]}


Augmentation = Annotated[
    Annotated[str, named(AUGMENTATIONS)] | AugmentationSpec,
    BeforeValidator(_read),
    _ListToo(),
]
"""A name, or augmenters. A bare list means these augmenters in this order."""
