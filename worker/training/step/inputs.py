"""The inputs of a step: images from the host or rows of images in device memory, and their augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec

Held = tuple[tf.Tensor, ...]
"""The same images, uint8 [all, size, size, 3], in the memory of each training device."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Some of the images in device memory. `rows`: int32 [n], indices into `held`."""

    held: Held
    rows: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the selected images: (n, size, size, 3)."""
        return (len(self.rows), *(int(side) for side in self.held[0].shape[1:]))


@dataclass(frozen=True, eq=False)
class Change:
    """The augmentation of a step's images. `seed`: int32 [2], decides all random draws."""

    augmentation: str | AugmentationSpec
    seed: NDArray[np.int32]


Images = NDArray[np.uint8] | Rows
Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Share:
    """The part of a batch that one device processes."""

    images: Images
    labels: Labels
    change: Change | None


def source_of(images: Images, device: int = 0) -> tf.Tensor:
    """The images as a tensor. For `Rows`: all images that are in the memory of the device."""
    return images.held[device] if isinstance(images, Rows) else tf.constant(images)


def tensors(images: Images, device: int = 0) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The arguments of a compiled step: an array, and the row indices into it, or None for all rows."""
    return source_of(images, device), tf.constant(images.rows) if isinstance(images, Rows) else None


def picked(images: tf.Tensor, rows: tf.Tensor | None) -> tf.Tensor:
    """The images that `tensors` refers to. Called inside the step."""
    return images if rows is None else tf.gather(images, rows)


def filled_up(images: Images, missing: int) -> Images:
    """Pads with `missing` more images, whose content does not matter."""
    if isinstance(images, Rows):
        return Rows(images.held, np.concatenate([images.rows, np.zeros(missing, np.int32)]))
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
