"""Marks the parts of a spec that are newer than its first version, and the parts that workers do not need.

A worker refuses a spec with an unknown field. So each added field or value names the spec version that introduced it,
and a job needs the highest version of the parts that it uses. Unused parts are not written out, so that older workers
can still run the job. To add a part:

1. add 1 to `SPEC_VERSION` in baton.domain.protocol_versions, at most once a release, and describe the version there;
2. mark the part: `stall: Annotated[Seconds, Since(2)] = 900.0` for a field,
   `Annotated[Literal["adam", "lion"], Since(2, "lion")]` for values of a field that is older, or
   `Annotated[str, Since(4, where=is_url)]` for values that a function recognises,
   `since: ClassVar[int] = 2` in the body of a new member of a union.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Since:
    """Marks a field, or some of its values, as newer than version 1 of the spec.

    `values`: the newer values. `where`: returns whether a value is newer. Without both, the whole field is newer.
    """

    def __init__(self, version: int, *values: object, where: Callable[[object], bool] | None = None) -> None:
        self.version = version
        self._values, self._where = values, where

    @property
    def whole_field(self) -> bool:
        """Whether the field is newer with each of its values."""
        return not self._values and self._where is None

    def marks(self, value: object) -> bool:
        """Whether the value, or a member of it, is one of the newer values."""
        members = value if isinstance(value, tuple | list) else (value,)
        return any(member in self._values or (self._where is not None and self._where(member)) for member in members)


class ForService:
    """Marks a field that only the service needs. Workers do not get it."""


def needed_version(spec: BaseModel) -> int:
    """The lowest spec version that a worker must support to train this spec."""
    return max(_versions(spec))


def _versions(value: object) -> Iterator[int]:
    yield 1
    if isinstance(value, BaseModel):
        yield getattr(value, "since", 1)
        for name, field in type(value).model_fields.items():
            if not _of(field, ForService):
                yield from _of_field(field, getattr(value, name))
    elif isinstance(value, tuple | list):
        for member in value:
            yield from _versions(member)
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _versions(member)


def _of_field(field: FieldInfo, value: object) -> Iterator[int]:
    for mark in _marks(field):
        used = not _is_default(field, value) if mark.whole_field else mark.marks(value)
        if used:
            yield mark.version
    yield from _versions(value)


def _of(field: FieldInfo, kind: type) -> list[Any]:
    return [mark for mark in field.metadata if isinstance(mark, kind) or mark is kind]


def _marks(field: FieldInfo) -> list[Since]:
    return _of(field, Since)


def _is_default(field: FieldInfo, value: object) -> bool:
    return not field.is_required() and value == field.get_default(call_default_factory=True, validated_data={})


def unused(spec: BaseModel) -> dict[Any, Any]:
    """The newer fields with default values, which are not written out. In the form of pydantic's `exclude`."""
    found: dict[Any, Any] = {}
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        newer = any(mark.whole_field for mark in _marks(field))
        inner = True if newer and _is_default(field, value) else _inside(value)
        if inner:
            found[name] = inner
    return found


def _inside(value: object) -> dict[Any, Any]:
    if isinstance(value, BaseModel):
        return unused(value)
    if isinstance(value, tuple | list):
        return {k: inner for k, member in enumerate(value) if (inner := _inside(member))}
    if isinstance(value, Mapping):
        return {k: inner for k, member in value.items() if (inner := _inside(member))}
    return {}


def for_worker(model: type[BaseModel], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec as JSON data without service-only fields: a worker must not refuse a job because of them."""
    left_out = {name for name, field in model.model_fields.items() if _of(field, ForService)}
    return {name: value for name, value in spec.items() if name not in left_out}
