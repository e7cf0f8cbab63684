"""Durations as text."""

from __future__ import annotations

import re

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
DURATION_PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,9})?[smhd])+$"
"""Durations as text, for schemas. `parse_duration` accepts some more forms."""


def parse_duration(value: object) -> float:
    """Seconds from 90, "90s", "1.5m" or "11h30m".

    Raises:
        ValueError: the value is not a duration.

    >>> parse_duration("1.5m"), parse_duration("11h30m")
    (90.0, 41400.0)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip().lower()
    if not _DURATION.fullmatch(text):
        raise ValueError("must be a duration such as 30s, 5m or 11h30m")
    return sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text))
