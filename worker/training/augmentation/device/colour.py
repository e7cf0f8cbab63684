"""Augmenters whose output for a pixel depends on that pixel only. imgaug uses tables of 256 truncated values."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from baton.domain.spec.augmenters import (
    Add,
    AdditiveGaussianNoise,
    AddToHueAndSaturation,
    GammaContrast,
    Grayscale,
    LinearContrast,
    Multiply,
)
from worker.training.augmentation.device.random_draws import Draws

# The middle of imgaug's value range for uint8 is 127.5, truncated to an integer.
_GREY = 127.0
# OpenCV's weights for a grey image, in 1/32768.
_LUMA, _LUMA_BITS = (9798, 19235, 3735), 15
_NEARLY = 0.001
_HUES = 180


def multiply(given: Multiply, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Multiplies by a factor: brighter or darker."""
    factor = draws.per_channel(given.mul, given.per_channel, images.shape[0])
    return _cut(tf.cast(images, tf.float32) * factor)


def add(given: Add, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Adds a number. imgaug rounds a uniform draw, so each end of the range is half as likely as the other values."""
    value = tf.round(draws.per_channel(given.value, given.per_channel, images.shape[0]))
    return _cut(tf.cast(images, tf.float32) + value)


def additive_gaussian_noise(given: AdditiveGaussianNoise, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Adds noise, rounded first. Each image has its own standard deviation."""
    n = images.shape[0]
    noise = draws.number(given.scale, n, 1, 1, 1) * draws.colours(draws.normal, given.per_channel, *images.shape[:3])
    return _cut(tf.cast(images, tf.float32) + tf.round(noise))


def linear_contrast(given: LinearContrast, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Multiplies the distance from grey by alpha."""
    alpha = draws.per_channel(given.alpha, given.per_channel, images.shape[0])
    return _cut(_GREY + alpha * (tf.cast(images, tf.float32) - _GREY))


def gamma_contrast(given: GammaContrast, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Raises the values, scaled to 0..1, to a power."""
    gamma = draws.per_channel(given.gamma, given.per_channel, images.shape[0])
    return _cut(255.0 * (tf.cast(images, tf.float32) / 255.0) ** gamma)


def grayscale(given: Grayscale, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Blends OpenCV's grey image with opacity alpha."""
    alpha, exact = draws.number(given.alpha, images.shape[0], 1, 1, 1), tf.cast(images, tf.int32)
    luma = tf.reduce_sum(exact * _LUMA, axis=-1, keepdims=True) + (1 << (_LUMA_BITS - 1))
    colour, grey = tf.cast(images, tf.float32), tf.cast(tf.bitwise.right_shift(luma, _LUMA_BITS), tf.float32)
    found = tf.round(colour + alpha * (grey - colour))
    # imgaug treats an alpha close to 0 or 1 as 0 or 1.
    return _cut(tf.where(alpha <= _NEARLY, colour, tf.where(alpha >= 1.0 - _NEARLY, grey, found)))


def add_to_hue_and_saturation(given: AddToHueAndSaturation, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Adds to hue and saturation in OpenCV's 8-bit HSV: 180 steps of hue, 255 of saturation and value."""
    n = images.shape[0]
    turn = draws.whole(given.value_hue or 0, n, 1, 1)
    turn = tf.cast(tf.cast(turn, tf.float32) / 255.0 * _HUES, tf.int32)
    hue, saturation, value = _hsv(tf.cast(images, tf.int32))
    hue = tf.math.floormod(hue + turn, _HUES)
    return _rgb(hue, tf.clip_by_value(saturation + draws.whole(given.value_saturation or 0, n, 1, 1), 0, 255), value)


def _hsv(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Hue, saturation and value, each int32 [n, h, w], as RGB2HSV_b of OpenCV, which divides by tables of 12 bits."""
    red, green, blue = tf.unstack(images, axis=-1)
    value = tf.reduce_max(images, axis=-1)
    span = value - tf.reduce_min(images, axis=-1)
    sector = tf.where(value == green, blue - red + 2 * span, red - green + 4 * span)
    sector = tf.where(value == red, green - blue, sector)
    hue, saturation = _divided(sector, span, _HUES / 6), _divided(span, value, 255.0)
    return tf.where(hue < 0, hue + _HUES, hue), saturation, value


def _divided(number: tf.Tensor, by: tf.Tensor, scale: float) -> tf.Tensor:
    table = np.rint(np.r_[0.0, (scale * 4096) / np.arange(1, 256)]).astype(np.int32)
    return tf.bitwise.right_shift(number * tf.gather(table, by) + 2048, 12)


def _rgb(hue: tf.Tensor, saturation: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """uint8 [n, h, w, 3]: each channel is the value, reduced in proportion to saturation and distance from the hue."""
    way, most = tf.cast(hue, tf.float32) * (6.0 / _HUES), tf.cast(value, tf.float32)
    colours = []
    for corner in (5.0, 3.0, 1.0):
        place = tf.math.floormod(way + corner, 6.0)
        away = tf.clip_by_value(tf.minimum(place, 4.0 - place), 0.0, 1.0)
        colours.append(tf.round(most * (1.0 - tf.cast(saturation, tf.float32) / 255.0 * away)))
    return _cut(tf.stack(colours, axis=-1))


def _cut(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)
