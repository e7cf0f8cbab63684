"""Parses time limits of a worker: a duration, or none."""

from __future__ import annotations

import math

from baton.domain.durations import parse_duration


def read_limit(given: str | None) -> float:
    """Seconds from a duration such as 10m; infinite without one.

    Raises:
        ValueError: it is not a duration.
    """
    text = (given or "").strip()
    if not text or text.lower() == "none":
        return math.inf
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{error}, or none; not {text!r}") from None
    if not 0 < seconds < math.inf:
        raise ValueError(f"must be more than 0 s, not {text!r}")
    return seconds
