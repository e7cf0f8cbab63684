"""`--idle`: ends a worker that has had no work for some time, so that a paid machine can be released."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

WATCH_SECONDS = 1.0
log = logging.getLogger(__name__)


def watch_idleness(limit: float, idle: Callable[[], float], retire: Callable[[str], None]) -> None:
    """Calls `retire` from a separate thread once `idle()`, the seconds without an attempt, reaches the limit."""
    if limit == math.inf:
        return

    def run() -> None:
        while (left := limit - idle()) > 0:
            time.sleep(min(left, WATCH_SECONDS))
        retire(f"no work for {limit:g} s (--idle)")

    threading.Thread(target=run, name="idle", daemon=True).start()
