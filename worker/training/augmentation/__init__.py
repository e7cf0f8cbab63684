"""Augmentation on the CPU with imgaug, the reference: a pure function of the images and a seed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec

if TYPE_CHECKING:
    from worker.training.augmentation.resolve import Augment


def augment(augmentation: str | AugmentationSpec, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The augmented images, uint8 [n, h, w, 3]. The given images are not changed; "none" returns the given images.

    The same augmentation, images and seed give the same bytes in any process. `seed` is below 2**31.

    Raises:
        ValueError: no augmentation has this name.
    """
    return images if augmentation == "none" else _resolved(augmentation)(images, seed)


@cache
def _resolved(augmentation: str | AugmentationSpec) -> Augment:
    # Imported only here: imgaug takes two seconds to import. Without augmentation, or with helpers, it is not needed.
    from worker.training.augmentation.resolve import resolve

    return resolve(augmentation)
