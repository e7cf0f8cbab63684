"""A worker that finds no work for some time and ends: `--idle`. Machines that cost money are given back so."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from core.domain.validation import parse_duration

WATCH_SECONDS = 1.0
log = logging.getLogger(__name__)


def read_idle(given: str | None) -> float:
    """Seconds from a duration such as 10m; infinite without one.

    Raises:
        ValueError: it is no duration.
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


def watch_idleness(limit: float, idle: Callable[[], float], retire: Callable[[str], None]) -> None:
    """Calls `retire` once `idle()`, seconds without an attempt, reaches the limit; from a thread of its own."""
    if limit == math.inf:
        return

    def run() -> None:
        while (left := limit - idle()) > 0:
            time.sleep(min(left, WATCH_SECONDS))
        retire(f"no work for {limit:g} s (--idle)")

    threading.Thread(target=run, name="idle", daemon=True).start()
