"""The order of the training images: a pure function of the seed and the position in the run."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Separate random streams, so that permutations and augmentations are never drawn from the same entropy.
_ORDER, _AUGMENTATION, _DEVICE = 1, 2, 4


def batch_indices(
    *, seed: int, stage: int, epoch: int, batch: int, batch_size: int, steps_per_epoch: int, size: int
) -> NDArray[np.int64]:
    """Which training images make up a batch: int64 [batch_size], each in 0..size-1.

    All numbers count from 0. The shuffled order does not restart at an epoch: the next epoch continues where the
    previous one ended. Each pass over the `size` images is a new permutation, in which every image occurs once. A pass
    may end within a batch, and a batch may be larger than the data set.

    Raises:
        ValueError: there are no images.
    """
    if size < 1:
        raise ValueError("there are no images to draw batches from")
    start = (epoch * steps_per_epoch + batch) * batch_size
    positions = np.arange(start, start + batch_size, dtype=np.int64)
    passes, places = np.divmod(positions, size)
    parts = [_permutation(seed, stage, int(p), size)[places[passes == p]] for p in np.unique(passes)]
    return np.concatenate(parts)


def batch_seed(seed: int, stage: int, epoch: int, batch: int) -> int:
    """The seed, below 2**31, of a batch's augmentation."""
    return int(np.random.SeedSequence([_AUGMENTATION, seed, stage, epoch, batch]).generate_state(1)[0]) & 0x7FFF_FFFF


def device_seed(seed: int, stage: int, epoch: int, batch: int) -> NDArray[np.int32]:
    """The seed of a batch's augmentation on the device: 64 bits, as int32 [2]."""
    return np.random.SeedSequence([_DEVICE, seed, stage, epoch, batch]).generate_state(2).view(np.int32)


@lru_cache(maxsize=4)
def _permutation(seed: int, stage: int, number: int, size: int) -> NDArray[np.int64]:
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_ORDER, seed, stage, number])))
    order = generator.permutation(size).astype(np.int64)
    order.flags.writeable = False
    return order
