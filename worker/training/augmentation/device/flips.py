"""Flips and rotations by 90 degrees. They only move pixels."""

from __future__ import annotations

import tensorflow as tf

from baton.domain.spec.augmenters import Fliplr, Flipud, Rot90
from worker.training.augmentation.device.random_draws import Draws


def fliplr(given: Fliplr, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Swaps left and right."""
    return tf.where(draws.chance(given.p, images.shape[0], 1, 1, 1), images[:, :, ::-1], images)


def flipud(given: Flipud, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Swaps top and bottom."""
    return tf.where(draws.chance(given.p, images.shape[0], 1, 1, 1), images[:, ::-1], images)


def rot90(given: Rot90, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Rotates clockwise by k * 90 degrees. Raises ValueError for images that are not square."""
    n, height, width, _ = images.shape
    if height != width:
        raise ValueError(f"rot90 needs square images, not {height} x {width}")
    quarters = draws.choice(given.k, n)
    return quarters.of([_rotated(images, k) for k in quarters.options])


def _rotated(images: tf.Tensor, quarters: int) -> tf.Tensor:
    match quarters:
        case 1:
            return tf.transpose(images, [0, 2, 1, 3])[:, :, ::-1]
        case 2:
            return images[:, ::-1, ::-1]
        case 3:
            return tf.transpose(images, [0, 2, 1, 3])[:, ::-1]
        case _:
            return images
