"""Chooses steps that are spread over a run whose length is not known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


class Spread:
    """Chooses one of each 2^level steps, and raises the level when more than `2 * few` were chosen.

    Which step of a block is chosen is drawn from the seed. Otherwise all chosen steps could be at the ends of epochs,
    and a fault in the middle of an epoch would not be seen. The steps of a higher level are also chosen by all lower
    ones.

    >>> spread, kept = Spread(few=4, seed=0), []
    >>> for step in range(1, 101):
    ...     if spread.chosen(step):
    ...         kept = spread.thinned([*kept, step])
    >>> kept
    [12, 20, 33, 61, 72, 83, 100]
    """

    def __init__(self, few: int, seed: int) -> None:
        self._few = few
        self._seed = seed
        self._level = 0

    def chosen(self, step: int) -> bool:
        """Whether the step is chosen at the present level. `step`: from 1."""
        block = (step - 1) >> self._level
        for level in range(self._level, 0, -1):
            block = 2 * block + self._bit(level, block)
        return block == step - 1

    def thinned(self, steps: Iterable[int]) -> list[int]:
        """The steps that stay. Raises the level if they are too many."""
        kept = [step for step in steps if self.chosen(step)]
        while len(kept) > 2 * self._few:
            self._level += 1
            kept = [step for step in kept if self.chosen(step)]
        return kept

    def _bit(self, level: int, block: int) -> int:
        return hashlib.sha256(f"{self._seed}.{level}.{block}".encode()).digest()[0] & 1
