"""Augments a batch outside the training step, for augmenters whose order is drawn for each batch.

The host draws the order and calls the compiled augmenters in that order. One program for all orders would be slower:
XLA would compile a conditional for each place, and a GPU waits at a conditional until the host has read its index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.training.augmentation.device import DeviceAugment
from worker.training.step.records import picked_by, seed_of


class Reordered:
    """The programs of one augmentation: the first selects images and their augmenters; then one for each augmenter.

    `picks`: the first program gets all images in device memory and selects the batch. `xla`: whether XLA compiles.
    """

    def __init__(self, augment: DeviceAugment, *, picks: bool, xla: bool) -> None:
        self._augment, self._picks = augment, picks
        self._begin = tf.function(self._begun, jit_compile=xla, autograph=False)
        self._steps = [tf.function(self._step(k), jit_compile=xla, autograph=False) for k in range(len(augment.steps))]
        self._traced: set[tuple[Any, ...]] = set()

    @property
    def programs(self) -> tuple[Any, ...]:
        """The compiled functions: the first takes images and record, the others images, choice and record."""
        return (self._begin, *self._steps)

    def __call__(self, images: tf.Tensor, record: tf.Tensor, seed: NDArray[np.int32]) -> tf.Tensor:
        """The augmented images, uint8 [n, size, size, 3]. `seed`: the seed in the record, as an array on the host."""
        images, chosen = self._begin(images, record)
        self._trace(images, chosen, record)
        for place in self._augment.drawn_order(seed):
            images = self._steps[place](images, chosen, record)
        return images

    def _trace(self, *arguments: tf.Tensor) -> None:
        """Compiles all programs in the same order in each process, because the order decides their names."""
        kind = (*arguments[0].shape, arguments[0].device)
        if kind not in self._traced:
            self._traced.add(kind)
            for step in self._steps:
                step(*arguments)

    def _begun(self, images: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = picked_by(record, images) if self._picks else images
        return images, self._augment.choose(images, seed_of(record))

    def _step(self, place: int) -> Any:
        def step(images: tf.Tensor, chosen: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
            return self._augment.steps[place](images, chosen, seed_of(record))

        return step
