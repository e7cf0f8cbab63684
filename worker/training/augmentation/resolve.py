"""Turns the augmentation of a spec (a policy's name, or augmenters) into a function of images and a seed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec
from worker.extensions import load
from worker.training.augmentation.imgaug_builder import build
from worker.training.augmentation.imgaug_faster import faster
from worker.training.augmentation.paper_policies import POLICIES

Augment = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""A pure function (images, seed) -> images, uint8 [n, h, w, 3]. The seed is below 2**31."""

_one_at_a_time = threading.Lock()


def resolve(augmentation: str | AugmentationSpec) -> Augment:
    """The function for a name or for augmenters.

    Raises:
        JobFailure: unsupported, no augmentation of this name is installed, or it cannot be imported.
    """
    if isinstance(augmentation, AugmentationSpec):
        return partial(_run, build(augmentation))
    if augmentation in POLICIES:
        return partial(_run, build(POLICIES[augmentation]))
    return partial(_checked, augmentation, load("augmentation", augmentation))


def _checked(name: str, augment: Augment, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Checks the type and shape that an extension returns, because shared memory has room for exactly these."""
    found = np.asarray(augment(images.copy(), seed))
    if found.shape != images.shape or found.dtype != np.uint8:
        raise ValueError(f"augmentation {name} gave {found.dtype} {found.shape} and not uint8 {images.shape}")
    return found


def _run(augmenter: Any, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    with _one_at_a_time, faster():
        # random_state= on the outer augmenter does not reach its children reproducibly; seeding before each batch does.
        augmenter.seed_(seed)
        return np.ascontiguousarray(augmenter.augment_images(images), dtype=np.uint8)
