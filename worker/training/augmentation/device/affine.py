"""Affine augmentation, like imgaug's with OpenCV's warpAffine: reads each pixel from its computed source position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from baton.domain.spec.augmenters import Affine, ScaleAxes, ShearAxes, ShiftAxes
from baton.domain.spec.random_values import Range
from worker.training.augmentation.device.borders import border, pixels
from worker.training.augmentation.device.interpolation import BITS, PARTS, taps
from worker.training.augmentation.device.random_draws import Choice, Draws, of_images

# OpenCV computes positions in 1/1024 of a pixel, and interpolates in 1/32 (AB_BITS, INTER_BITS).
_BITS, _PART_BITS = 10, 5

_Axes = ScaleAxes | ShiftAxes | ShearAxes
Row = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""(a, b, c) of a * x + b * y + c, each float64 [n]."""


def affine(given: Affine, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Scales, shears, rotates and translates about the middle, with one interpolation for each output pixel."""
    n, height, width, _ = images.shape
    to_x, to_y = _inverse(*_forward(given, draws, n, (height, width)))
    order = draws.choice(given.order, n)
    (x, right), (y, below) = (_source(row, order, height, width) for row in (to_x, to_y))
    outside = _Outside(draws.choice(given.mode, n), tf.cast(draws.number(given.cval, n, 1, 1, 3), tf.int32))
    read = [
        outside.read(images, y + row, x + column) * weight[..., None]
        for row, column, weight in taps(order, below, right)
    ]
    total = tf.bitwise.right_shift(tf.add_n(read) + (1 << (BITS - 1)), BITS)
    return tf.cast(tf.clip_by_value(total, 0, 255), tf.uint8)


@dataclass(frozen=True)
class _Outside:
    """The border of each image. `colour`: int32 [n, 1, 1, 3], for the mode "constant"."""

    mode: Choice
    colour: tf.Tensor

    def read(self, images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """The colours int32 [n, h, w, 3] at positions int32 [n, h, w], which may be outside."""
        _, height, width, _ = images.shape
        row = self.mode.of([border(y, height, mode) for mode in self.mode.options])
        column = self.mode.of([border(x, width, mode) for mode in self.mode.options])
        found = tf.cast(pixels(images, row, column), tf.int32)
        beyond = (y < 0) | (y >= height) | (x < 0) | (x >= width)
        return tf.where((beyond & self.mode.among("constant", rank=3))[..., None], self.colour, found)


def _source(row: Row, order: Choice, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The source row or column of each pixel, and the distance beyond it in 1/32, both int32 [n, h, w].

    For order 0 it is the nearest pixel, with distance 0. The parts from x and y are rounded separately, as in OpenCV.
    """
    a, b, c = (of_images(part, 3) for part in row)
    across = _fixed(a * tf.range(width, dtype=tf.float64))
    down = _fixed(b * tf.range(height, dtype=tf.float64)[:, None] + c)
    nearest = order.among(0, rank=3)
    place = across + down + tf.where(nearest, 1 << (_BITS - 1), 1 << (_BITS - _PART_BITS - 1))
    beyond = tf.bitwise.bitwise_and(tf.bitwise.right_shift(place, _BITS - _PART_BITS), PARTS - 1)
    return tf.bitwise.right_shift(place, _BITS), tf.where(nearest, 0, beyond)


def _fixed(places: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(places * (1 << _BITS)), tf.int32)


def _forward(given: Affine, draws: Draws, n: int, size: tuple[int, int]) -> tuple[Row, Row]:
    """The forward transformation: shear along y, then skimage's AffineTransform, about the middle of `size` (h, w).

    Uses float32 and float64 where imgaug does, as far as it affects the result.
    """
    scale_x, scale_y = _by_axis(given.scale, 1.0, draws, n)
    shift_x, shift_y = _by_axis(given.translate_percent, 0.0, draws, n)
    turn = _radians(draws.number(given.rotate or 0.0, n))
    lean_x, lean_y = (_radians(lean) for lean in _shears(given, draws, n))
    cos, sin = tf.cos(turn), tf.sin(turn)
    a, b = _product(scale_x, cos), _product(scale_y, -(tf.tan(lean_x) * cos + sin))
    d, e = _product(scale_x, sin), _product(scale_y, cos - tf.tan(lean_x) * sin)
    a, d = a + b * tf.tan(lean_y), d + e * tf.tan(lean_y)
    middle_y, middle_x = (side / 2 - 0.5 for side in size)
    c = middle_x + tf.cast(shift_x * size[1], tf.float64) - a * middle_x - b * middle_y
    f = middle_y + tf.cast(shift_y * size[0], tf.float64) - d * middle_x - e * middle_y
    return (a, b, c), (d, e, f)


def _inverse(to_x: Row, to_y: Row) -> tuple[Row, Row]:
    (a, b, c), (d, e, f) = to_x, to_y
    whole = a * e - b * d
    a, b, d, e = e / whole, -b / whole, -d / whole, a / whole
    return (a, b, -(a * c + b * f)), (d, e, -(d * c + e * f))


def _by_axis(given: Range | _Axes | None, default: float, draws: Draws, n: int) -> tuple[tf.Tensor, tf.Tensor]:
    """For x and y, each float32 [n]: drawn separately if the spec names the axes, else one number for both."""
    if isinstance(given, _Axes):
        return draws.number(given.x, n), draws.number(given.y, n)
    both = draws.number(default if given is None else given, n)
    return both, both


def _shears(given: Affine, draws: Draws, n: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The shears along x and y. Like imgaug: a fixed number applies to x only; a number from a range, to both axes."""
    if isinstance(given.shear, float):
        return draws.number(given.shear, n), tf.zeros([n])
    return _by_axis(given.shear, 0.0, draws, n)


def _radians(degrees: tf.Tensor) -> tf.Tensor:
    return tf.cast(degrees * (math.pi / 180), tf.float64)


def _product(scale: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return tf.cast(scale * tf.cast(factor, tf.float32), tf.float64)
