"""Sources with indices: what gives the samples, or the finished batches, for some indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from baton.data.permutation import Indices
from baton.data.trees import is_array, leaves, mapped
from baton.program.errors import ProgramError


class Samples(Protocol):
    """Samples that have an index."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def batch(self, indices: Indices) -> Any:
        """A batch of these samples, or None: it has to be made of single ones."""
        ...

    def samples(self, indices: Indices) -> list[Any]:
        """These samples."""
        ...


class ArraySamples:
    """A tree of arrays with the same number of rows: sample k is row k of each.

    >>> ArraySamples((np.arange(3), np.eye(3))).samples(np.array([1]))
    [(np.int64(1), array([0., 1., 0.]))]
    """

    def __init__(self, arrays: Any) -> None:
        self._arrays = mapped(_rows, arrays)
        sizes = {place: len(leaf) for place, leaf in leaves(self._arrays, "source")}
        if len(set(sizes.values())) != 1:
            found = ", ".join(f"{place} has {size}" for place, size in sizes.items())
            raise ProgramError(f"source: all arrays need the same number of rows, but {found}")
        self._size = next(iter(sizes.values()))

    def __len__(self) -> int:
        return self._size

    def batch(self, indices: Indices) -> Any:
        """A batch: rows of each array, as a copy."""
        return mapped(lambda rows: rows[indices], self._arrays)

    def samples(self, indices: Indices) -> list[Any]:
        """One row of each array for each index."""
        return [mapped(lambda rows, k=int(index): rows[k], self._arrays) for index in indices]


def _rows(leaf: Any) -> Any:
    """The leaf as something that takes an array of indices: torch tensors as they are, all else as a NumPy array."""
    return leaf if type(leaf).__module__ == "torch" else np.asarray(leaf)


def is_arrays(source: Any) -> bool:
    """Whether the source is one array, or a tuple or a dictionary of arrays. A list is a sequence of samples."""
    if isinstance(source, tuple | Mapping):
        return len(source) > 0 and all(is_array(leaf) for _, leaf in leaves(source))
    return is_array(source)
