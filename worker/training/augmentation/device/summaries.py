"""The statistics with which modes of np.pad fill a border: one value for each row or column of an image."""

from __future__ import annotations

import tensorflow as tf

SUMMARIES = ("maximum", "mean", "median", "minimum")


def summary(name: str, values: tf.Tensor, kept: tf.Tensor, axis: int) -> tf.Tensor:
    """The statistic `name` of the values int32 [n, h, w, c], 0..255, along `axis`, which is reduced to length 1.

    `kept`: bool, broadcasts: which values count. Rounds halves to even, as np.pad does.
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
    """The mean of the two middle values. They are the same value if the number of kept values is odd."""
    count = _count(kept, axis)
    low = _ranked(values, kept, (count + 1) // 2, axis)
    next_one = tf.reduce_min(tf.where(kept & (values > low), values, 255), axis, keepdims=True)
    high = tf.where(_count(kept & (values <= low), axis) > count // 2, low, next_one)
    return _rounded(low + high, 2)


def _ranked(values: tf.Tensor, kept: tf.Tensor, rank: tf.Tensor, axis: int) -> tf.Tensor:
    """The kept value of rank `rank`, counted from 1. Finds it bit by bit, without sorting."""
    found = tf.zeros_like(tf.reduce_max(values, axis, keepdims=True))
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        below = _count(kept & (values < found + bit), axis)
        found = tf.where(below < rank, found + bit, found)
    return found
