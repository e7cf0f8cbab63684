"""Augmenters that erase parts of an image: pixels, cells of a coarse grid, and squares."""

from __future__ import annotations

import tensorflow as tf

from baton.domain.spec.augmenters import CoarseDropout, Cutout, Dropout
from worker.training.augmentation.device.borders import pixels
from worker.training.augmentation.device.random_draws import Draws


def dropout(given: Dropout, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Sets each pixel to black with the image's own probability."""
    chance = draws.number(given.p, images.shape[0], 1, 1, 1)
    dropped = draws.colours(draws.uniform, given.per_channel, *images.shape[:3]) < chance
    return tf.where(dropped, tf.zeros([], images.dtype), images)


def coarse_dropout(given: CoarseDropout, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Sets each cell of a grid to black with the image's own probability. Each image has its own grid size.

    The largest grid is drawn for all images, and each image uses a part of it.
    """
    n, height, width, _ = images.shape
    chance = draws.number(given.p, n, 1, 1, 1)
    largest = max(given.size_percent) if isinstance(given.size_percent, tuple) else given.size_percent
    grid = [max(int(largest * side), given.min_size) for side in (height, width)]
    dropped = draws.colours(draws.uniform, given.per_channel, n, *grid) < chance
    rows, columns = (_cells(given, draws, n, side) for side in (height, width))
    return tf.where(pixels(dropped, rows[:, :, None], columns[:, None, :]), tf.zeros([], images.dtype), images)


def _cells(given: CoarseDropout, draws: Draws, n: int, side: int) -> tf.Tensor:
    """The cell of the grid for each row, or column, of an image: int32 [n, side], as cv2.resize enlarges a grid."""
    share = tf.cast(draws.number(given.size_percent, n, 1), tf.float64)
    cells = tf.maximum(tf.floor(share * side), given.min_size)
    place = tf.cast(tf.range(side), tf.float64) * (1.0 / (side / cells))
    return tf.cast(tf.minimum(tf.floor(place), cells - 1), tf.int32)


def cutout(given: Cutout, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Draws squares, each of one grey, with their middle anywhere in the image. They may overlap."""
    n, height, width, _ = images.shape
    most = max(given.nb_iterations) if isinstance(given.nb_iterations, tuple) else given.nb_iterations
    squares = draws.whole(given.nb_iterations, n, 1, 1, 1)
    for k in range(most):
        half = draws.number(given.size, n, 1, 1, 1) / 2 * height
        grey = tf.cast(draws.number(given.cval, n, 1, 1, 1), images.dtype)
        inside = _between(draws, half, height)[:, :, None] & _between(draws, half, width)[:, None, :]
        images = tf.where(inside[..., None] & (k < squares), grey, images)
    return images


def _between(draws: Draws, half: tf.Tensor, side: int) -> tf.Tensor:
    """Which rows, or columns, are within `half`, float32 [n, 1, 1, 1], of a random position: bool [n, side]."""
    middle, half = draws.uniform(half.shape[0], 1) * side, half[:, :, 0, 0]
    place = tf.range(side, dtype=tf.float32)
    return (place >= tf.floor(middle - half)) & (place < tf.floor(middle + half))
