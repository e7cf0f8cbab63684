"""What a step is given: images from the host, or rows of what the device holds, and how to change them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec

Held = tuple[tf.Tensor, ...]
"""The same images, uint8 [all, size, size, 3], on each of the devices that train."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Some of the images that the devices hold. `rows`: int32 [n], places in `held`."""

    held: Held
    rows: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the images that are meant: (n, size, size, 3)."""
        return (len(self.rows), *(int(side) for side in self.held[0].shape[1:]))


@dataclass(frozen=True, eq=False)
class Change:
    """How a step augments its images. `seed`: int32 [2], which alone decides what is drawn."""

    augmentation: str | AugmentationSpec
    seed: NDArray[np.int32]


Images = NDArray[np.uint8] | Rows
Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Share:
    """What one device takes of a batch."""

    images: Images
    labels: Labels
    change: Change | None


def source_of(images: Images, device: int = 0) -> tf.Tensor:
    """The images themselves, or all that the device holds if `images` are some of those."""
    return images.held[device] if isinstance(images, Rows) else tf.constant(images)


def tensors(images: Images, device: int = 0) -> tuple[tf.Tensor, tf.Tensor | None]:
    """As a compiled step takes them: an array, and the places in it, or None for all of it."""
    return source_of(images, device), tf.constant(images.rows) if isinstance(images, Rows) else None


def picked(images: tf.Tensor, rows: tf.Tensor | None) -> tf.Tensor:
    """What `tensors` meant, inside the step."""
    return images if rows is None else tf.gather(images, rows)


def filled_up(images: Images, missing: int) -> Images:
    """So many more images, whatever they show."""
    if isinstance(images, Rows):
        return Rows(images.held, np.concatenate([images.rows, np.zeros(missing, np.int32)]))
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
