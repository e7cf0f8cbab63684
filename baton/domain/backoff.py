"""How long to wait before the next try, and which tries are told of: the same for all that is tried again."""

from __future__ import annotations

_MOST_DOUBLINGS = 30


def backoff(first: float, tried: int, longest: float, draw: float) -> float:
    """Exponential backoff with full jitter on its upper half, in seconds. `draw` is uniform in [0, 1)."""
    ceiling: float = min(first * 2 ** min(tried - 1, _MOST_DOUBLINGS), longest)
    return ceiling / 2 + draw * ceiling / 2


def at_doubling(count: int) -> bool:
    """Whether `count` is 1, 2, 4, 8, ...: what goes on for days is told of a few times.

    >>> [count for count in range(10) if at_doubling(count)]
    [1, 2, 4, 8]
    """
    return count > 0 and count & (count - 1) == 0
