"""Exponential backoff with jitter, and which repetitions are reported. Used for every retry in Baton."""

from __future__ import annotations

_MOST_DOUBLINGS = 30


def backoff(first: float, tried: int, longest: float, draw: float) -> float:
    """Seconds to wait before the next try: exponential backoff, drawn from the upper half of the interval.

    `first`, `longest`: the shortest and the longest interval in seconds. `tried`: tries so far, from 1. `draw`:
    uniform in [0, 1).

    >>> [backoff(1.0, tried, 10.0, draw=0.5) for tried in (1, 2, 3, 9)]
    [0.75, 1.5, 3.0, 7.5]
    """
    ceiling: float = min(first * 2 ** min(tried - 1, _MOST_DOUBLINGS), longest)
    return ceiling / 2 + draw * ceiling / 2


def at_doubling(count: int) -> bool:
    """Whether `count` is 1, 2, 4, 8, ... With these counts an event that repeats for days is reported only a few times.

    >>> [count for count in range(10) if at_doubling(count)]
    [1, 2, 4, 8]
    """
    return count > 0 and count & (count - 1) == 0
