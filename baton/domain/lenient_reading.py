"""Reads stored data leniently: another version, or a person, may have written the rows.

Input is validated strictly when it arrives. Stored data was accepted before, so an unreadable field must not prevent
the recovery of its job.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

_M = TypeVar("_M", bound=BaseModel)
ROUNDS = 20
"""Maximum rounds of removing unreadable parts. Each round finds the errors of one level."""

MAX_LOGGED = 1_000
log = logging.getLogger(__name__)
_logged: set[str] = set()


def read_stored(model: type[_M], data: object, blank: Mapping[str, Any] | None = None) -> _M:
    """The model with the readable part of the data. Unknown fields are ignored. `data` is not changed.

    A known field with an invalid value gets its value from `blank`, or its default. Invalid members of lists and
    mappings are left out. Each finding is logged once.

    Raises:
        ValueError: a field that has no default cannot be read.
    """
    if not isinstance(data, Mapping):
        if data is not None:
            _log_once(model, f"is {type(data).__name__} and not a mapping")
        data = {}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        return _read(model, copy.deepcopy(dict(data)), error, blank or {})


def _read(model: type[_M], rest: dict[str, Any], error: ValidationError, blank: Mapping[str, Any]) -> _M:
    for _ in range(ROUNDS):
        if not _take_out(model, rest, error):
            break
        try:
            return model.model_validate({**blank, **rest})
        except ValidationError as another:
            error = another
    return model.model_validate(dict(blank))


def find_stored(model: type[_M], data: object) -> _M | None:
    """As `read_stored`, but None if there is no data or it cannot be read."""
    if data is None:
        return None
    try:
        return read_stored(model, data)
    except ValueError as error:
        _log_once(model, f"cannot be read: {' '.join(str(error).split())[:300]}")
        return None


def _take_out(model: type[BaseModel], data: dict[str, Any], error: ValidationError) -> bool:
    """Remove the value that the error is about. Returns whether something was removed."""
    found = False
    # The last error first: removing a member of a list changes the indexes of the members after it.
    for one in reversed(error.errors(include_url=False, include_input=False)):
        if any(_delete(data, place) for place in _places(one)):
            found = True
            if one["type"] != "extra_forbidden":
                _log_once(model, f"{'.'.join(map(str, one['loc']))}: {one['msg']}; its default is used")
    return found


def _places(error: Any) -> list[tuple[Any, ...]]:
    """What to remove, best first: an unknown field, then a member of a container, then the whole field."""
    location: tuple[Any, ...] = error["loc"]
    whole = [location[:2], location[:1]] if len(location) > 1 else [location]
    return [location, *whole] if error["type"] == "extra_forbidden" else whole


def _delete(data: Any, place: tuple[Any, ...]) -> bool:
    if not place:
        return False
    *way, last = place
    for part in way:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return False
    try:
        del data[last]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _log_once(model: type[BaseModel], finding: str) -> None:
    text = f"a stored {model.__name__} {finding}"
    if text not in _logged and len(_logged) < MAX_LOGGED:
        _logged.add(text)
        log.warning("%s", text)


def names(value: object) -> list[str]:
    """The text in a stored list of names. Empty if it is not a list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def mapping(value: object) -> dict[str, Any]:
    """A stored mapping. Empty if it is not a mapping."""
    return dict(value) if isinstance(value, Mapping) else {}


def number_or(value: object, default: float = 0.0) -> float:
    """A stored number. NaN and infinity are stored as text. Anything else that is not a number gives the default."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return default
    try:
        return float(value)
    except (ValueError, OverflowError):
        return default
