"""Random numbers that depend only on the seed of a batch and on the augmenter that draws them.

Philox (Salmon et al., SC 2011) turns a key and a counter into bits. The key is the seed, and each draw has its own
range of the counter. `tf.random.stateless_uniform` first hashes the seed into key and counter. XLA computes another
hash (tensorflow#121243), so the same seed would give other images with XLA. This module passes key and counter, so the
bits are equal with and without XLA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import tensorflow as tf

from baton.domain.spec.random_values import Range, Steps

Draw = Callable[..., tf.Tensor]
"""A function that draws numbers. Its arguments are the shape."""

_PHILOX = 1
DRAWS_OF_A_STREAM = 1 << 16
"""Counter values between the starts of two streams."""


class Draws:
    """The random numbers of one augmenter in one batch, drawn in the order of the calls.

    `seed`: int32 [2]. `stream`: differs between the augmenters of a batch; two streams share no number.
    """

    def __init__(self, seed: tf.Tensor, stream: int) -> None:
        self._key = tf.reshape(tf.bitcast(seed, tf.uint64), [1])
        self._places = count(stream * DRAWS_OF_A_STREAM)

    def uniform(self, *shape: int) -> tf.Tensor:
        """Uniform in [0, 1), in steps of 2**-24: float32 [shape]."""
        counter = tf.constant([0, next(self._places)], tf.uint64)
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=list(shape), key=self._key, counter=counter, alg=_PHILOX, dtype=tf.uint32
        )
        return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24

    def normal(self, *shape: int) -> tf.Tensor:
        """Standard normal, by the Box-Muller transform: float32 [shape]."""
        length = tf.sqrt(-2.0 * tf.math.log(1.0 - self.uniform(*shape)))
        return length * tf.cos(2.0 * math.pi * self.uniform(*shape))

    def number(self, given: Range, *shape: int) -> tf.Tensor:
        """A given number, or uniform in a range: float32 [shape]."""
        if not isinstance(given, tuple):
            return tf.fill(shape, tf.constant(given, tf.float32))
        low, high = given
        return low + self.uniform(*shape) * (high - low)

    def whole(self, given: Steps, *shape: int) -> tf.Tensor:
        """A given integer, or uniform in a range that includes both ends: int32 [shape]."""
        low, high = given if isinstance(given, tuple) else (given, given)
        return low + tf.cast(tf.floor(self.uniform(*shape) * (high - low + 1)), tf.int32)

    def choice(self, given: Any, n: int) -> Choice:
        """One element of a tuple for each of n images; any other value applies to all images."""
        options = given if isinstance(given, tuple) else (given,)
        return Choice(options, self.whole((0, len(options) - 1), n))

    def chance(self, share: float | tf.Tensor, *shape: int) -> tf.Tensor:
        """True with probability `share`: bool [shape]."""
        return self.uniform(*shape) < share

    def per_channel(self, given: Range, share: bool | float, n: int) -> tf.Tensor:
        """A number for each image, or for each channel in a `share` of images: float32, broadcast to [n, 1, 1, 3]."""
        return self.colours(partial(self.number, given), share, n, 1, 1)

    def colours(self, draw: Draw, share: bool | float, *shape: int) -> tf.Tensor:
        """One draw for all channels, or one for each channel in a `share` of images: broadcasts to [n, h, w, 3]."""
        if share is False:
            return draw(*shape, 1)
        values = draw(*shape, 3)
        if share is True:
            return values
        return tf.where(self.chance(share, shape[0], 1, 1, 1), values, values[..., :1])


def of_images(values: tf.Tensor, rank: int = 4) -> tf.Tensor:
    """Reshapes [n] to [n, 1, 1, 1], or to `rank` axes."""
    return tf.reshape(values, [-1] + [1] * (rank - 1))


@dataclass(frozen=True)
class Choice:
    """The option of each image. `index`: int32 [n], its index in `options`."""

    options: tuple[Any, ...]
    index: tf.Tensor

    def of(self, results: Sequence[tf.Tensor]) -> tf.Tensor:
        """For each image, the result of its drawn option. `results`: one tensor for each option, of equal rank."""
        found = results[0]
        for place, result in enumerate(results[1:], start=1):
            found = tf.where(of_images(self.index == place, len(result.shape)), result, found)
        return found

    def among(self, *names: Any, rank: int) -> tf.Tensor:
        """Whether the option of each image is one of these: bool [n, 1, ...]."""
        return of_images(tf.gather(tf.constant([option in names for option in self.options]), self.index), rank)
