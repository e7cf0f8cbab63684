"""The small inputs of a training step in one array: learning rate, seed of the augmentation, labels, rows of images.

One array needs only one copy to the device. A record is an array of 32-bit words: the rate, the two words of the
seed, zeros up to HEADER, the labels, the rows. The type is float32, because TensorFlow keeps int32 tensors in the
memory of the host and would copy them again for each step. A bitcast returns the integers unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.training.step.inputs import Rows, Share

HEADER = 16
"""Words before the labels: 64 bytes. With this alignment, TensorFlow takes a record out of a table without a copy if
the number of images is a multiple of 8."""

Records = tuple[tf.Tensor, ...]
"""The record of one step on each device, float32 [words]."""


def record(share: Share, rate: float) -> NDArray[np.float32]:
    """The record for one device's share of a batch. `rate`: the learning rate, a value of float32."""
    parts = [share.labels, share.images.rows] if isinstance(share.images, Rows) else [share.labels]
    head = np.zeros(HEADER, np.float32)
    head[0] = rate
    if share.change is not None:
        head[1:3] = share.change.seed.view(np.float32)
    return np.concatenate([head, *(np.ascontiguousarray(part, np.int32).view(np.float32) for part in parts)])


def rate_of(record: Any) -> tf.Tensor:
    """The learning rate, a scalar."""
    return record[0]


def seed_of(record: tf.Tensor) -> tf.Tensor:
    """The seed of the augmentation, int32 [2]."""
    return tf.bitcast(record, tf.int32)[1:3]


def labels_of(record: tf.Tensor, number: int) -> tf.Tensor:
    """The labels, int32 [number]."""
    return tf.bitcast(record, tf.int32)[HEADER : HEADER + number]


def picked_by(record: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """The images, of `images` uint8 [all, size, size, 3], at the rows in the record."""
    words = tf.bitcast(record, tf.int32)[HEADER:]
    return tf.gather(images, words[words.shape[0] // 2 :])
