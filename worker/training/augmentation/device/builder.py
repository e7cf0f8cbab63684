"""A spec's augmenters as functions of the images and a seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AnyAugmenter
from worker.training.augmentation.device import (
    DeviceAugment,
    affine,
    colour,
    dropout,
    filters,
    flips,
    padding,
    philox,
)
from worker.training.augmentation.device.random_draws import DRAWS_OF_A_STREAM, Draws, of_images

Augmenter = Callable[[Any, tf.Tensor, Draws], tf.Tensor]
"""A function of (augmenter in the spec, images uint8 [n, h, w, 3], random numbers). Its images have imgaug's type."""

AUGMENTERS: dict[str, Augmenter] = {
    "fliplr": flips.fliplr,
    "flipud": flips.flipud,
    "rot90": flips.rot90,
    "crop_and_pad": padding.crop_and_pad,
    "affine": affine.affine,
    "gaussian_blur": filters.gaussian_blur,
    "sharpen": filters.sharpen,
    "dropout": dropout.dropout,
    "coarse_dropout": dropout.coarse_dropout,
    "cutout": dropout.cutout,
    "additive_gaussian_noise": colour.additive_gaussian_noise,
    "add": colour.add,
    "multiply": colour.multiply,
    "linear_contrast": colour.linear_contrast,
    "gamma_contrast": colour.gamma_contrast,
    "grayscale": colour.grayscale,
    "add_to_hue_and_saturation": colour.add_to_hue_and_saturation,
}
# Stream 0 is for the choice of augmenters. Augmenter k of the spec has stream k + 1, in any order of execution.
_CHOICE = 0


def build(spec: AugmentationSpec) -> DeviceAugment:
    """The augmentation of a spec. The steps are in the order of the spec; `order` reorders them for each batch."""
    steps = tuple(partial(_step, augmenter, place) for place, augmenter in enumerate(spec.augmenters))
    reordered = spec.order == "random" and len(steps) > 1
    return DeviceAugment(partial(_chosen, spec), steps, partial(_order, spec) if reordered else None)


def _order(spec: AugmentationSpec, seed: NDArray[np.int32]) -> list[int]:
    """The order of the augmenters: the draw after those of `_chosen`. The host computes it, not a compiled program."""
    place = _CHOICE * DRAWS_OF_A_STREAM + (1 if spec.some_of is None else 3)
    return philox.order(seed, place, len(spec.augmenters))


def _chosen(spec: AugmentationSpec, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The augmenters that apply to each image, bool [n, augmenters]: `some_of` or all, with probability `sometimes`."""
    if not images.shape.is_fully_defined():
        raise ValueError(f"augmentation on the device needs images of a static shape, not {images.shape}")
    n, draws = images.shape[0], Draws(seed, _CHOICE)
    shares = [1.0 if augmenter.sometimes is None else augmenter.sometimes for augmenter in spec.augmenters]
    goes = draws.chance(tf.constant(shares), n, len(shares))
    if spec.some_of is None:
        return goes
    least, most = spec.some_of if isinstance(spec.some_of, tuple) else (spec.some_of, spec.some_of)
    count = draws.whole((least, len(shares) if most is None else most), n, 1)
    rank = tf.argsort(tf.argsort(draws.uniform(n, len(shares))))
    return goes & (rank < count)


def _step(augmenter: AnyAugmenter, place: int, images: tf.Tensor, chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    augmented = AUGMENTERS[augmenter.name](augmenter, images, Draws(seed, place + 1))
    return tf.where(of_images(chosen[:, place]), augmented, images)
