"""A worker that finds no work for some time and ends: `--idle`. Machines that cost money are given back so."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

WATCH_SECONDS = 1.0
log = logging.getLogger(__name__)


def watch_idleness(limit: float, idle: Callable[[], float], retire: Callable[[str], None]) -> None:
    """Calls `retire` once `idle()`, seconds without an attempt, reaches the limit; from a thread of its own."""
    if limit == math.inf:
        return

    def run() -> None:
        while (left := limit - idle()) > 0:
            time.sleep(min(left, WATCH_SECONDS))
        retire(f"no work for {limit:g} s (--idle)")

    threading.Thread(target=run, name="idle", daemon=True).start()
