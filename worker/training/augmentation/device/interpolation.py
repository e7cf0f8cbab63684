"""OpenCV's interpolation of 8-bit images: weights for positions in 1/32 of a pixel, which add up to 1 << BITS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.training.augmentation.device.random_draws import Choice

PARTS, BITS = 32, 15
# The parameter a of OpenCV's cubic kernel.
_A = -0.75

Tap = tuple[int, int, tf.Tensor]
"""A neighbour: its offset in rows and in columns, and its weight, int32 [n, h, w]."""


def taps(order: Choice, below: tf.Tensor, right: tf.Tensor) -> Iterator[Tap]:
    """The neighbours that determine the value at a position, with their weights.

    `below`, `right`: the distance of the position from its pixel, in 1/32 of a pixel, int32 [n, h, w]; 0 for order 0.
    """
    if 3 not in order.options:
        yield from _linear(below, right)
        return
    linear = {(row, column): weight for row, column, weight in _linear(below, right)}
    for row, column, weight in _cubic(below, right):
        yield row, column, tf.where(order.among(3, rank=3), weight, linear.get((row, column), 0))


def _linear(below: tf.Tensor, right: tf.Tensor) -> Iterator[Tap]:
    one = (1 << BITS) // PARTS**2
    for row, down in enumerate((PARTS - below, below)):
        for column, across in enumerate((PARTS - right, right)):
            yield row, column, down * across * one


def _cubic(below: tf.Tensor, right: tf.Tensor) -> Iterator[Tap]:
    table, place = _cubic_table(), below * PARTS + right
    for row, column in np.ndindex(4, 4):
        yield row - 1, column - 1, tf.gather(table[:, row, column], place)


@cache
def _cubic_table() -> NDArray[np.int32]:
    """Weights [32 * 32, 4, 4], by rows and columns, rounded as in initInterTab2D of OpenCV.

    The rounding error is corrected in the smallest or the largest of the last four weights.
    """
    line = _cubic_weights(np.arange(PARTS, dtype=np.float32) / np.float32(PARTS))
    exact = (line[:, None, :, None] * line[None, :, None, :]).reshape(-1, 4, 4)
    table: NDArray[np.int32] = np.rint(exact * (1 << BITS)).astype(np.int32)
    for weights in table:
        over, corner = int(weights.sum()) - (1 << BITS), weights[2:, 2:]
        place = corner.argmin() if over > 0 else corner.argmax()
        corner[np.unravel_index(place, corner.shape)] -= over
    return table


def _cubic_weights(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights of four neighbours for a position x after the second, [x, 4]: cubic convolution, Keys (1981)."""
    first = ((_A * (x + 1) - 5 * _A) * (x + 1) + 8 * _A) * (x + 1) - 4 * _A
    second = ((_A + 2) * x - (_A + 3)) * x * x + 1
    third = ((_A + 2) * (1 - x) - (_A + 3)) * (1 - x) * (1 - x) + 1
    return np.stack([first, second, third, 1 - first - second - third], axis=-1)
