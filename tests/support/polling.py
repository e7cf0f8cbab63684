"""How often a test that waits looks again."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_SECONDS, LAST_SECONDS, GROWTH = 0.01, 0.1, 1.5


def pauses() -> Iterator[float]:
    """Seconds between two looks: short at first, then long enough that looking takes no time from what is awaited."""
    pause = FIRST_SECONDS
    while True:
        yield pause
        pause = min(LAST_SECONDS, GROWTH * pause)
