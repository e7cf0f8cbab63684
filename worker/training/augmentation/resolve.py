"""From what a spec names, a policy or augmenters of its own, to a function of images and a seed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec
from worker.extensions import load
from worker.training.augmentation.builder import build
from worker.training.augmentation.imgaug_faster import faster
from worker.training.augmentation.policies import POLICIES

Augment = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""New images from the given ones, uint8 [n, h, w, 3], and a seed below 2**31, which alone decide them."""

_one_at_a_time = threading.Lock()


def resolve(augmentation: str | AugmentationSpec) -> Augment:
    """The one place where a name or a spec becomes something that runs.

    Raises:
        JobFailure: unsupported, no augmentation of this name is installed, or it cannot be imported.
    """
    if isinstance(augmentation, AugmentationSpec):
        return partial(_run, build(augmentation))
    if augmentation in POLICIES:
        return partial(_run, build(POLICIES[augmentation]))
    return partial(_checked, augmentation, load("augmentation", augmentation))


def _checked(name: str, augment: Augment, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A batch is written into memory of its own size: what an extension gives must fit."""
    found = np.asarray(augment(images.copy(), seed))
    if found.shape != images.shape or found.dtype != np.uint8:
        raise ValueError(f"augmentation {name} gave {found.dtype} {found.shape} and not uint8 {images.shape}")
    return found


def _run(augmenter: Any, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    with _one_at_a_time, faster():
        # imgaug's random_state= on the outer augmenter does not reach its children reproducibly; seeding anew does.
        augmenter.seed_(seed)
        return np.ascontiguousarray(augmenter.augment_images(images), dtype=np.uint8)
