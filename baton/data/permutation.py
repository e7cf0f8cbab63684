"""Keyed permutations of 0 … size - 1 that need no memory: each part of a shuffled order can be computed alone.

Beyond `SMALL`, the permutation is a Feistel network on the next power of two, with cycle walking for what is outside.
Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (CT-RSA 2002), show that this permutes any range. Mitchell,
Stokes, Frank and Holmes, "Bandwidth-Optimal Random Shuffling for GPUs" (ACM TOPC 9, 2022), shuffle data in this way.
The round function is the finalizer of SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
Generators" (OOPSLA 2014).

A Feistel network on few bits cannot reach all permutations. Up to `SMALL`, the order is therefore that of keyed random
numbers, which are sorted.

The orders are a promise: a job continues with them under a later version. A change needs another `ORDER`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baton.data.seeds import key

ORDER = "shuffled-1"
"""The name of this way to make orders, in the state of a position."""
SMALL = 2**16
"""Sizes whose order is sorted and kept: half a MiB."""
LARGEST = 2**62
ROUNDS = 8
"""Four already pass the statistics that tests/data/test_permutation.py makes of this number; three do not."""
PART = 4096
"""Positions that are computed together: one alone costs as much as a thousand."""

Indices = NDArray[np.int64]
_Words = NDArray[np.uint64]


class Permutation:
    """A random order of 0 … size - 1, for this seed and epoch.

    >>> Permutation(10**12, seed=7, epoch=0).part(0, 3)
    array([198698773413, 693991695259, 583660139444])
    >>> sorted(Permutation(5, seed=7, epoch=0).part(0, 5).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, *, seed: int, epoch: int) -> None:
        self._size = size
        self._keys = key("order", seed, epoch, words=ROUNDS)
        bits = (size - 1).bit_length()
        self._low, self._high = np.uint64(bits // 2), np.uint64(bits - bits // 2)
        self._first = 0
        self._part = np.empty(0, np.int64)
        if size <= SMALL:
            self._part = np.argsort(_random(size, self._keys), kind="stable")

    def part(self, first: int, stop: int) -> Indices:
        """What is at the positions from `first` to `stop`, without `stop`."""
        if not self._first <= first <= stop <= self._first + len(self._part):
            end = min(max(stop, first + PART), self._size)
            self._first, self._part = first, self._permuted(np.arange(first, end, dtype=np.uint64))
        return self._part[first - self._first : stop - self._first]

    def _permuted(self, positions: _Words) -> Indices:
        values, size = self._encrypted(positions), np.uint64(self._size)
        outside = np.flatnonzero(values >= size)
        while len(outside):  # on average less than once a value: at least half of the domain is inside
            walked = self._encrypted(values[outside])
            values[outside] = walked
            outside = outside[walked >= size]
        return values.astype(np.int64)

    def _encrypted(self, values: _Words) -> _Words:
        high, low = values >> self._low, values & ((np.uint64(1) << self._low) - np.uint64(1))
        for number, word in enumerate(self._keys):
            if number % 2:
                low ^= _mixed(high + word) >> (np.uint64(64) - self._low)
            else:
                high ^= _mixed(low + word) >> (np.uint64(64) - self._high)
        return (high << self._low) | low


def _mixed(values: _Words) -> _Words:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _random(size: int, keys: _Words) -> _Words:
    """Random numbers, one for each index: a counter, mixed with two keys."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    return _mixed(_mixed(np.arange(size, dtype=np.uint64) * golden + keys[0]) ^ keys[1])
