"""Computes on the host the few random numbers of `random_draws` that the host needs. The bits are the same.

Philox4x32 with ten rounds: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS, _MASK = 10, 0xFFFF_FFFF


def words(seed: NDArray[np.int32], place: int, number: int) -> list[int]:
    """The first `number` 32-bit words of a draw. `seed`: int32 [2]; `place`: the counter value of the draw."""
    key = [int(word) & _MASK for word in seed]
    blocks = (_block((block, 0, place & _MASK, place >> 32), key) for block in range(-(-number // 4)))
    return [word for block in blocks for word in block][:number]


def order(seed: NDArray[np.int32], place: int, number: int) -> list[int]:
    """The numbers 0..number-1, sorted by the uniform numbers of a draw, as tf.argsort does: ties in ascending order."""
    drawn = [word >> 8 for word in words(seed, place, number)]  # uniform numbers have 24 bits
    return sorted(range(number), key=drawn.__getitem__)


def _block(counter: tuple[int, int, int, int], key: list[int]) -> tuple[int, int, int, int]:
    a, b, c, d = counter
    first, second = key
    for _ in range(_ROUNDS):
        one, other = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (other >> 32) ^ b ^ first, other & _MASK, (one >> 32) ^ d ^ second, one & _MASK
        first, second = (first + _WEYL[0]) & _MASK, (second + _WEYL[1]) & _MASK
    return a, b, c, d
