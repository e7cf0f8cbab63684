"""A loaded data set: three splits over one array of decoded images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baton.domain.data_identity import DataIdentity
from worker.training.data.left_out import LeftOut

Indices = NDArray[np.int64] | Sequence[int]


@dataclass(frozen=True, eq=False)
class Split:
    """Some of the images, in a fixed order. Pickling replaces a memory-mapped array by its path.

    `images`: uint8 [all, size, size, 3], the images of all splits; `rows`: int64 [n], the rows of `images` that belong
    to this split; `labels`: int32 [n].
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.int32]

    @classmethod
    def of(cls, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Split:
        """A split of all of these images, uint8 [n, size, size, 3], with their labels, int32 [n]."""
        return cls(images, np.arange(len(images), dtype=np.int64), labels.astype(np.int32))

    def __len__(self) -> int:
        """The number of images."""
        return len(self.rows)

    def take(self, indices: Indices) -> NDArray[np.uint8]:
        """A copy of these images in this order, uint8 [k, size, size, 3]; indices in 0..len-1, repeats allowed."""
        return np.asarray(self.images[self.rows[np.asarray(indices, dtype=np.int64)]])

    @property
    def size(self) -> int:
        """Width and height in pixels."""
        return int(self.images.shape[1])

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.images, np.memmap):
            return _reopened, (self.images.filename, self.rows, self.labels)
        return Split, (self.images, self.rows, self.labels)


def _reopened(path: Path, rows: NDArray[np.int64], labels: NDArray[np.int32]) -> Split:
    return Split(np.load(path, mmap_mode="r", allow_pickle=False), rows, labels)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set at one size. Labels are indexes into `class_names`, which has the order of the class folders.

    `identity`: what a checkpoint stores about the data. None for generated data. `left_out`: files that are not used.
    """

    train: Split
    val: Split
    test: Split | None
    class_names: tuple[str, ...]
    identity: DataIdentity | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
