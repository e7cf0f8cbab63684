"""Border modes, common to imgaug, NumPy and OpenCV: they map a position outside of an image to an index into it."""

from __future__ import annotations

import tensorflow as tf


def border(index: tf.Tensor, size: int | tf.Tensor, mode: str) -> tf.Tensor:
    """Which of `size` pixels in a row is read at `index`, int32. `index` may be outside of the row on either side.

    "reflect" mirrors at the middle of the last pixel, "symmetric" at its outer edge, "wrap" repeats the row. Any other
    mode repeats the last pixel.
    """
    match mode:
        case "wrap":
            return tf.math.floormod(index, size)
        case "symmetric":
            return _folded(index, 2 * size, 2 * size - 1)
        case "reflect":
            return _folded(index, tf.maximum(2 * size - 2, 1), 2 * size - 2)
        case _:
            return tf.clip_by_value(index, 0, size - 1)


def _folded(index: tf.Tensor, period: int | tf.Tensor, last: int | tf.Tensor) -> tf.Tensor:
    place = tf.math.floormod(index, period)
    return tf.minimum(place, last - place)


def pixels(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """The pixels [n, h, w, 3] of images of any size at rows and columns that broadcast to int32 [n, h, w]."""
    n, height, width, channels = images.shape
    flat = tf.reshape(images, [n, height * width, channels])
    return tf.gather(flat, y * width + x, batch_dims=1)
