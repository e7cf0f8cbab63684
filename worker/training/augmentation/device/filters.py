"""Filters over neighbouring pixels, as OpenCV computes them: blur and sharpening."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from baton.domain.spec.augmenters import GaussianBlur, Sharpen
from worker.training.augmentation.device.borders import border
from worker.training.augmentation.device.random_draws import Draws, of_images

# imgaug does not blur an image with a smaller sigma.
_LEAST_SIGMA = 1e-3


def gaussian_blur(given: GaussianBlur, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Blurs each image with its own sigma. The kernel is separable; its weights are whole numbers of 1/256."""
    sigma = draws.number(given.sigma, images.shape[0])
    greatest = given.sigma[1] if isinstance(given.sigma, tuple) else given.sigma
    kernel = _kernel(sigma, _radius(greatest))
    total = _filtered(_filtered(tf.cast(images, tf.int32), kernel, axis=2), kernel, axis=1)
    blurred = tf.cast(tf.bitwise.right_shift(total + (1 << 15), 16), tf.uint8)
    return tf.where(of_images(sigma > _LEAST_SIGMA), blurred, images)


def _radius(sigma: float) -> int:
    """The radius of imgaug's longest kernel for any sigma up to this one. The length drops at sigma 3 and at 5."""
    lengths = [3.3 * min(sigma, 3.0)] + [2.9 * min(sigma, 5.0)] * (sigma >= 3) + [2.6 * sigma] * (sigma >= 5)
    return int(max(*lengths, 5.0)) // 2


def _kernel(sigma: tf.Tensor, radius: int) -> list[tf.Tensor]:
    """Weights in 1/256, int32 [n], for the distances 0 to `radius`. Each rounding error is added to the next weight.

    As getGaussianKernelFixedPoint_ED of OpenCV. The middle gets the remaining error.
    """
    length = tf.where(sigma < 3.0, 3.3 * sigma, tf.where(sigma < 5.0, 2.9 * sigma, 2.6 * sigma))
    reach = tf.cast(tf.maximum(length, 5.0), tf.int32) // 2
    width = tf.maximum(tf.cast(sigma, tf.float64), _LEAST_SIGMA)
    bells = [tf.where(k <= reach, tf.exp(-0.5 * (k / width) ** 2), 0.0) for k in range(radius + 1)]
    whole = bells[0] + 2.0 * tf.add_n(bells[1:])
    left = tf.zeros_like(whole)
    weights = []
    for bell in reversed(bells[1:]):
        wanted = bell / whole * 256.0 + left
        weights.append(tf.round(wanted))
        left = wanted - weights[-1]
    middle = 256.0 - 2.0 * tf.add_n(weights)
    return [tf.cast(weight, tf.int32) for weight in (middle, *reversed(weights))]


def _filtered(values: tf.Tensor, kernel: Sequence[tf.Tensor], axis: int) -> tf.Tensor:
    """int32 [n, h, w, c] convolved along `axis` with weights by distance, computed as a sum of shifted images."""
    radius = len(kernel) - 1
    # Padded by `radius` on both sides. `border` allows a radius that is larger than the image.
    size = values.shape[axis]
    around = tf.gather(values, border(tf.range(-radius, size + radius), size, "reflect"), axis=axis)
    starts = [[k if place == axis else 0 for place in range(4)] for k in range(2 * radius + 1)]
    shifted = [tf.slice(around, start, values.shape) for start in starts]
    return tf.add_n([part * of_images(kernel[abs(k - radius)]) for k, part in enumerate(shifted)])


def sharpen(given: Sharpen, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Convolves with imgaug's matrix, 8 + lightness surrounded by -1, and blends the result with opacity alpha."""
    n = images.shape[0]
    alpha, lightness = draws.number(given.alpha, n, 1, 1, 1), draws.number(given.lightness, n, 1, 1, 1)
    exact = tf.cast(images, tf.int32)
    ones = [tf.ones([n], tf.int32)] * 2
    block = _filtered(_filtered(exact, ones, axis=2), ones, axis=1)
    middle = tf.cast(exact, tf.float32) * (1.0 - alpha + alpha * (8.0 + lightness))
    found = middle - alpha * tf.cast(block - exact, tf.float32)
    return tf.cast(tf.clip_by_value(tf.round(found), 0.0, 255.0), tf.uint8)
