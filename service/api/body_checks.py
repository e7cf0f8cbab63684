"""Refuses bodies with characters that a database or client cannot store, and bodies that are nested too deeply."""

from __future__ import annotations

import json
from typing import Any

from baton.domain.yaml_text import MAX_DEPTH
from service.errors import MalformedBody


def checked_text(value: Any) -> Any:
    """The decoded value, if all its text can be stored and encoded. Raises MalformedBody."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise MalformedBody(f"the body is nested deeper than {MAX_DEPTH} levels")
        level = [member for one in level for member in _members(one)]
    return value


def check_json(raw: bytes) -> None:
    """Like `checked_text`, for a body that other code decodes. Decodes only bodies that may have such a fault."""
    lowered = raw.lower()
    odd = b"\\u0000" in lowered or b"\\ud" in lowered
    if not odd and raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return  # the other code's decoder reports the error
    checked_text(value)


def _members(value: Any) -> list[Any]:
    if isinstance(value, str):
        _check(value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise MalformedBody(f"the key {key!r} is not text: put it in quotes")
            _check(key)
        return list(value.values())
    return value if isinstance(value, list) else []


def _check(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedBody("the body has half of a surrogate pair, which is not a character") from None
    if "\x00" in text:
        raise MalformedBody("the body has a NUL character, which cannot be stored")
