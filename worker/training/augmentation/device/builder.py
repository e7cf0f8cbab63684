"""A spec's augmenters, one after the other, as one function of the images and a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from core.domain.spec import AugmentationSpec
from core.domain.spec.augmenters import AnyAugmenter
from worker.training.augmentation.device import DeviceAugment, affine, colour, dropout, filters, flips, padding
from worker.training.augmentation.device.draws import Draws, of_images

Augmenter = Callable[[Any, tf.Tensor, Draws], tf.Tensor]
"""What a spec says, images uint8 [n, h, w, 3] and numbers: new images, of the same type as imgaug's are after each."""

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
# Stream 0 is the whole's; the augmenters have those after it by their place in the spec, whatever the order is.
_WHOLE = 0

Step = Callable[[tf.Tensor], tf.Tensor]


def build(spec: AugmentationSpec) -> DeviceAugment:
    """What the spec says, as a function of images, uint8 [n, h, w, 3], and a seed, int32 [2]."""
    return partial(_augmented, spec)


def _augmented(spec: AugmentationSpec, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    if not images.shape.is_fully_defined():
        raise ValueError(f"augmentation on the device needs images of a static shape, and not {images.shape}")
    whole = Draws(seed, _WHOLE)
    chosen = _chosen(spec, images.shape[0], whole)
    steps = [partial(_step, augmenter, chosen[:, k], Draws(seed, k + 1)) for k, augmenter in enumerate(spec.augmenters)]
    if spec.order == "random" and len(steps) > 1:
        return _in_order(tf.argsort(whole.uniform(len(steps))), steps, images)
    for step in steps:
        images = step(images)
    return images


def _chosen(spec: AugmentationSpec, n: int, draws: Draws) -> tf.Tensor:
    """Which augmenters each image goes through, bool [n, augmenters]; without `some_of` all, less `sometimes`."""
    shares = [1.0 if augmenter.sometimes is None else augmenter.sometimes for augmenter in spec.augmenters]
    goes = draws.chance(tf.constant(shares), n, len(shares))
    if spec.some_of is None:
        return goes
    least, most = spec.some_of if isinstance(spec.some_of, tuple) else (spec.some_of, spec.some_of)
    count = draws.whole((least, len(shares) if most is None else most), n, 1)
    rank = tf.argsort(tf.argsort(draws.uniform(n, len(shares))))
    return goes & (rank < count)


def _step(augmenter: AnyAugmenter, chosen: tf.Tensor, draws: Draws, images: tf.Tensor) -> tf.Tensor:
    return tf.where(of_images(chosen), AUGMENTERS[augmenter.name](augmenter, images, draws), images)


def _in_order(order: tf.Tensor, steps: Sequence[Step], images: tf.Tensor) -> tf.Tensor:
    """One step of `order`, int32 [steps], after the other: a loop over places around one switch over the steps.

    So each augmenter is compiled once. Unrolled, it would be compiled once for each place.
    """

    def taken(place: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return place + 1, tf.switch_case(order[place], [partial(step, images) for step in steps])

    state = (tf.constant(0), images)
    return tf.while_loop(lambda place, _: place < len(steps), taken, state, maximum_iterations=len(steps))[1]
