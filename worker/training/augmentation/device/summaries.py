"""What np.pad's modes of that name put around an image: one value for each of its rows, or columns."""

from __future__ import annotations

import tensorflow as tf

SUMMARIES = ("maximum", "mean", "median", "minimum")


def summary(name: str, values: tf.Tensor, kept: tf.Tensor, axis: int) -> tf.Tensor:
    """Of the values int32 [n, h, w, c], 0..255, along `axis` where `kept`, bool that broadcasts, says so: one instead.

    Rounded as np.pad does, halves to even.
    """
    match name:
        case "maximum":
            return tf.reduce_max(tf.where(kept, values, 0), axis, keepdims=True)
        case "minimum":
            return tf.reduce_min(tf.where(kept, values, 255), axis, keepdims=True)
        case "mean":
            total = tf.reduce_sum(tf.where(kept, values, 0), axis, keepdims=True)
            return _rounded(total, _count(kept, axis))
        case _:
            return _median(values, kept, axis)


def _count(kept: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(kept, tf.int32), axis, keepdims=True)


def _rounded(total: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.cast(total, tf.float32) / tf.cast(count, tf.float32)), tf.int32)


def _median(values: tf.Tensor, kept: tf.Tensor, axis: int) -> tf.Tensor:
    """Halfway between the two in the middle, which are one and the same where an odd number is kept."""
    count = _count(kept, axis)
    low = _ranked(values, kept, (count + 1) // 2, axis)
    next_one = tf.reduce_min(tf.where(kept & (values > low), values, 255), axis, keepdims=True)
    high = tf.where(_count(kept & (values <= low), axis) > count // 2, low, next_one)
    return _rounded(low + high, 2)


def _ranked(values: tf.Tensor, kept: tf.Tensor, rank: tf.Tensor, axis: int) -> tf.Tensor:
    """The value that has `rank`, from 1, among the kept: found bit by bit, which needs no sorting."""
    found = tf.zeros_like(tf.reduce_max(values, axis, keepdims=True))
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        below = _count(kept & (values < found + bit), axis)
        found = tf.where(below < rank, found + bit, found)
    return found
