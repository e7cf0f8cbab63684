"""How long to wait before the next try: one formula for jobs, clients and downloads."""

from __future__ import annotations

_MOST_DOUBLINGS = 30


def backoff(first: float, tried: int, longest: float, draw: float) -> float:
    """Exponential backoff with full jitter on its upper half, in seconds. `draw` is uniform in [0, 1)."""
    ceiling: float = min(first * 2 ** min(tried - 1, _MOST_DOUBLINGS), longest)
    return ceiling / 2 + draw * ceiling / 2
