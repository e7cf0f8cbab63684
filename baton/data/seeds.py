"""Keys and generators that are functions of a seed and a place, so that they are the same after a restart."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from baton.adapters.random_states import seeded

__all__ = ["generator", "key", "seeded"]


def key(*place: int | str, words: int) -> NDArray[np.uint64]:
    """So many words of 64 bits, made of the place by SHAKE-256: the same on each machine and in each version.

    >>> key("order", 7, 0, words=1)
    array([62233203786192427], dtype=uint64)
    """
    digest = hashlib.shake_256("/".join(map(str, place)).encode()).digest(8 * words)
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def generator(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """The generator of one sample in one epoch. What it draws does not depend on the batch or the order.

    >>> first, again = generator(1, 0, 5), generator(1, 0, 5)
    >>> bool((first.integers(100, size=3) == again.integers(100, size=3)).all())
    True
    """
    return np.random.Generator(np.random.Philox(key=key("sample", seed, epoch, sample, words=2)))
