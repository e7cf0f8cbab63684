"""Augmentation on the CPU with imgaug, the reference: a pure function of the images and a seed."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain.spec import AugmentationSpec

_one_at_a_time = threading.Lock()


def augment(augmentation: str | AugmentationSpec, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The augmented images, uint8 [n, h, w, 3] like the given ones, which stay as they are ("none": returned as given).

    The same augmentation, images and seed give the same bytes in any process. `seed` is below 2**31.

    Raises:
        ValueError: no augmentation has this name.
    """
    if augmentation == "none":
        return images
    augmenter = _augmenter(augmentation)
    with _one_at_a_time:
        # imgaug's random_state= on the outer augmenter does not reach its children reproducibly; seeding anew does.
        augmenter.seed_(seed)
        return np.ascontiguousarray(augmenter.augment_images(images), dtype=np.uint8)


@cache
def _augmenter(augmentation: str | AugmentationSpec) -> Any:
    # Only here: imgaug takes two seconds to import, and a restart without augmentation, or with helpers, needs none.
    from worker.training.augmentation.builder import augmenter_of

    return augmenter_of(augmentation)
