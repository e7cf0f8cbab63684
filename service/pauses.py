"""Pauses of background work, so that requests get the processor and the lock of SQLite."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_SECONDS = 1.0
"""Far below the time after which a call without progress counts as hanging (service.reconciler.store_pool)."""


@contextmanager
def pause_after(times: float) -> Iterator[None]:
    """After the block the thread pauses for this many times its duration, at most LONGEST_SECONDS.

    There is no pause after an exception.
    """
    begun = time.monotonic()
    yield
    time.sleep(min(LONGEST_SECONDS, times * (time.monotonic() - begun)))
