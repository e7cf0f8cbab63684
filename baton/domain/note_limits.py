"""Size limits of the events that a worker adds to a job's log, and how the worker cuts longer ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from baton.domain.text import safe

MAX_NOTE_TEXT = 20_000
"""Maximum characters of a message."""

MAX_NOTE_DATA = 16_384
"""Maximum bytes of `data` as JSON in UTF-8."""

MAX_VALUE = 1_000
CUT = "cut"


def data_size(data: Any) -> int:
    """Bytes as JSON in UTF-8, without spaces."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace"))


def checked_data(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the data. Raises ValueError if it is too large."""
    size = data_size(data)
    if size > MAX_NOTE_DATA:
        raise ValueError(f"has {size} bytes as JSON, and the limit is {MAX_NOTE_DATA}: send less, or store an artifact")
    return data


def fitting_text(text: str) -> str:
    """The text. If it is too long: its beginning, and its original length."""
    text = safe(text)  # as a note does: what it escapes becomes longer
    if len(text) <= MAX_NOTE_TEXT:
        return text
    end = f" … (cut: {len(text)} characters)"
    return text[: MAX_NOTE_TEXT - len(end)] + end


def fitting_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data, cut to the limit: long values become shortened text, further keys are dropped, key `cut` is added."""
    whole = dict(data)
    if data_size(whole) <= MAX_NOTE_DATA:
        return whole
    found: dict[str, Any] = {CUT: True}
    for key, value in whole.items():
        short = value if data_size(value) <= MAX_VALUE else str(value)[: MAX_VALUE // 4]
        if data_size({**found, key: short}) <= MAX_NOTE_DATA:
            found[key] = short
    return found
