"""Sources with indices: what gives the samples, or the finished batches, for some indices."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from baton.adapters.own_generators import own_generators
from baton.adapters.random_states import seeded
from baton.data.permutation import Indices
from baton.data.trees import is_array, leaves, mapped
from baton.program.errors import ProgramError


class Samples(Protocol):
    """Samples that have an index."""

    whole_batches: bool
    """Whether each is a whole batch."""
    keeps_order: bool
    """Whether the order of the indices is already that of the training, unless the user says `shuffle=True`."""
    source: Any
    """What reads a sample, and may draw random numbers for it; None if it is arrays."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def begin(self, epoch: int, seed: int) -> None:
        """Prepare to give the samples of this epoch. More calls for the same epoch do nothing."""
        ...

    def rows(self, indices: Indices) -> Any:
        """A batch of these samples, without making single ones; None if the source cannot do that."""
        ...

    def samples(self, epoch: int, indices: Indices) -> list[Any]:
        """These samples."""
        ...


class ArraySamples:
    """A tree of arrays with the same number of rows: sample k is row k of each.

    >>> ArraySamples((np.arange(3), np.eye(3))).samples(0, np.array([1]))
    [(np.int64(1), array([0., 1., 0.]))]
    """

    whole_batches = False
    keeps_order = False
    source = None

    def __init__(self, arrays: Any) -> None:
        self._arrays = mapped(_rows, arrays)
        sizes = {place: len(leaf) for place, leaf in leaves(self._arrays, "source")}
        if len(set(sizes.values())) != 1:
            found = ", ".join(f"{place} has {size}" for place, size in sizes.items())
            raise ProgramError(f"source: all arrays need the same number of rows, but {found}")
        self._size = next(iter(sizes.values()))

    def __len__(self) -> int:
        return self._size

    def begin(self, epoch: int, seed: int) -> None:
        """Arrays do not change with the epoch."""

    def rows(self, indices: Indices) -> Any:
        """A copy of these rows of each array."""
        return mapped(lambda rows: rows[indices], self._arrays)

    def samples(self, epoch: int, indices: Indices) -> list[Any]:  # noqa: ARG002 - arrays are the same in each epoch
        """One row of each array for each index."""
        taken = self.rows(indices)
        return [mapped(lambda rows, k=k: rows[k], taken) for k in range(len(indices))]


class StoredRows:
    """Rows of an array in a file, such as one of h5py or zarr: it is never read as a whole.

    h5py accepts only increasing indices without repetition.
    """

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, indices: Indices) -> Any:
        increasing, places = np.unique(indices, return_inverse=True)
        return np.asarray(self._array[increasing])[places]


def _rows(leaf: Any) -> Any:
    """The leaf as something that takes an array of indices. An array of another framework becomes one of NumPy."""
    package = type(leaf).__module__.partition(".")[0]
    if isinstance(leaf, np.ndarray) or package == "torch":
        return leaf
    return StoredRows(leaf) if package in {"h5py", "zarr"} else np.asarray(leaf)


def is_arrays(source: Any) -> bool:
    """Whether the source is one array, or a tuple or a dictionary of arrays. A list is a sequence of samples."""
    if isinstance(source, tuple | Mapping):
        found = [leaf for _, leaf in leaves(source)]
        return bool(found) and all(map(is_array, found))
    return is_array(source)


class ListedSamples:
    """A map-style data set: anything with a length whose samples are read by their index.

    `set_epoch` is called where the data set has it.
    """

    whole_batches = False
    keeps_order = False

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def begin(self, epoch: int, seed: int) -> None:  # noqa: ARG002
        """Tell the data set the epoch."""
        if hasattr(self.source, "set_epoch"):
            self.source.set_epoch(epoch)

    def rows(self, indices: Indices) -> Any:  # noqa: ARG002
        """A data set has no rows."""
        return None

    def samples(self, epoch: int, indices: Indices) -> list[Any]:
        """The samples, with one call of `__getitems__` where the data set has it, as that of Hugging Face."""
        numbers = [self._number(epoch, int(index)) for index in indices]
        if hasattr(self.source, "__getitems__"):
            return list(self.source.__getitems__(numbers))
        return [self._one(number) for number in numbers]

    def _number(self, epoch: int, index: int) -> int:  # noqa: ARG002
        return index

    def _one(self, number: int) -> Any:
        try:
            return self.source[number]
        except Exception as error:
            error.add_note(f"it was raised by sample {number} of the source of baton.data.batches")
            raise


class GrainSamples(ListedSamples):
    """A MapDataset of Grain. Behind its end it begins again, with other random numbers: the next epoch."""

    keeps_order = True

    def __init__(self, source: Any, *, whole_batches: bool) -> None:
        super().__init__(source)
        self.whole_batches = whole_batches

    def _number(self, epoch: int, index: int) -> int:
        return epoch * len(self.source) + index

    def _one(self, number: int) -> Any:
        sample = super()._one(number)
        if sample is None:
            raise ProgramError(
                f"source: sample {number} is None: a filter of a Grain MapDataset leaves gaps, so its batches have no "
                "fixed places. Filter before the data is stored, or pass `source.to_iter_dataset()`, whose position is "
                "stored too"
            )
        return sample


class KerasBatches(ListedSamples):
    """A PyDataset of Keras: each item is a batch.

    Its hooks are called as `fit` calls them: `on_epoch_end` before the first epoch and after each, and `on_epoch_begin`
    before each. What they draw from the generators of the process is a function of the seed and the epoch.
    """

    whole_batches = True

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        if getattr(source, "num_batches", 0) is None:
            raise ProgramError("source: the PyDataset has no length: it needs `__len__`, the batches of an epoch")
        base = _keras().utils.PyDataset
        self._hooks = any(_overrides(source, base, name) for name in ("on_epoch_end", "on_epoch_begin"))
        self._begun = -1

    def begin(self, epoch: int, seed: int) -> None:
        """Call the hooks of all epochs up to this one that were not called yet.

        Raises:
            ProgramError: it had begun a later epoch, and hooks cannot be taken back.
        """
        if self._hooks and epoch < self._begun:
            raise ProgramError(
                f"source: the hooks of the PyDataset were called for epoch {self._begun}: it cannot go back to epoch "
                f"{epoch}. Make a new one"
            )
        if not self._hooks or self._begun == epoch:
            return
        own = own_generators(source=self.source).usable
        while self._begun < epoch:
            self._begun += 1
            with seeded("epoch", seed, self._begun, own=own):
                self.source.on_epoch_end()
                getattr(self.source, "on_epoch_begin", lambda: None)()


def _overrides(source: Any, base: type, name: str) -> bool:
    return getattr(type(source), name, None) is not getattr(base, name, None)


def _keras() -> Any:
    return sys.modules["keras"]


def is_a(source: Any, package: str, *path: str) -> bool:
    """Whether the source is of this class, of a package that is not imported unless the program did it."""
    found: Any = sys.modules.get(package)
    for name in path:
        found = getattr(found, name, None)
    return isinstance(found, type) and isinstance(source, found)
