"""Batches that have no index: of `tf.data`, Python generators and other iterables. A restart reads them again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter

from baton.keras.dataset_passes import Pass, what_a_pass_changes
from baton.keras.feeds import Handed
from baton.keras.support import on_jax
from baton.program.errors import ProgramError

KINDS = {
    "GeneratorDataAdapter": "a generator",
    "GrainDatasetAdapter": "a data set of Grain",
    "TFDatasetAdapter": "a tf.data.Dataset",
    "TorchDataLoaderAdapter": "a DataLoader of torch",
}
"""Adapters of Keras, in words."""


class StreamFeed:
    """Batches of an adapter of Keras for data without indices.

    With `steps_per_epoch`, an epoch begins where the one before it ended. `first_epoch`: `initial_epoch`. `restarts`:
    each epoch begins with the first batch, as a validation does.
    """

    def __init__(self, adapter: Any, *, steps: int | None, first_epoch: int, restarts: bool) -> None:
        if restarts and steps is None and isinstance(adapter, GeneratorDataAdapter):
            raise ProgramError(
                "validation_data: a generator can be read only once, and each validation needs batches: give "
                "validation_steps and let it yield enough for all validations, or give arrays, a PyDataset or a "
                "tf.data.Dataset"
            )
        self._adapter, self._first = adapter, first_epoch
        self._endless = steps is not None and not restarts
        self._whole = steps is None
        self.steps: int | None = steps or adapter.num_batches
        self.read_again = 0
        self._handed = Handed()
        self._iterator: Iterator[Any] | None = None
        self._at: tuple[int, int | None] = (first_epoch, 0)
        self._dataset: Any = None
        found = getattr(adapter, "_dataset", None)
        self._changes = Pass.READ if found is None or self._endless else what_a_pass_changes(found)

    def example(self) -> Any:
        """A batch of zeros of the form of the batches, or the first batch of a generator."""
        if isinstance(self._adapter, GeneratorDataAdapter):
            return self._adapter._first_batches[0]
        if (dataset := getattr(self._adapter, "_dataset", None)) is not None:
            return tree.map_structure(_zeros, dataset.element_spec)
        return next(iter(self._adapter.get_numpy_iterator()))

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on. In a new process, this reads the batches before them."""
        self.reach(epoch, start)
        if self._iterator is None:
            self._iterator = self._new()
        return self._iterator

    def end_epoch(self, epoch: int) -> None:
        """The next batch is the first one of the next epoch."""
        self._at = (epoch + 1, 0)
        if not self._endless:
            self._iterator = None

    def reach(self, epoch: int, start: int | None) -> None:
        """Read the batches before this place again, as the first process did."""
        while self._at[0] < epoch:
            self._read_to(None)
            self.end_epoch(self._at[0])
        self._read_to(start)

    def _read_to(self, start: int | None) -> None:
        """Read this epoch up to this batch, or up to its end."""
        epoch, begun = self._at
        if begun in (None, start):
            return
        assert begun is not None
        self._at = (epoch, start)
        if start is None and begun == 0 and self._changes is not Pass.READ:
            if self._changes is Pass.BEGIN:
                iter(self._adapter._dataset)
            return
        if self._iterator is None:
            self._iterator = self._new()
        end = start if start is not None else None if self._whole else self.steps
        again = itertools.islice(self._iterator, None if end is None else end - begun)
        self.read_again += sum(1 for _ in again)

    def _new(self) -> Iterator[Any]:
        """A new pass; with `steps_per_epoch`, the only one."""
        if on_jax() or self._by_python():
            return self._handed.iterator(self._batches(), self.example, ahead=False)
        if self._dataset is None:
            self._dataset = self._adapter.get_tf_dataset()
            if self._endless and self._adapter.num_batches is not None:
                self._dataset = self._dataset.repeat()
        found: Iterator[Any] = iter(self._dataset)
        return found

    def _by_python(self) -> bool:
        return not hasattr(self._adapter, "_dataset") or isinstance(self._adapter, GeneratorDataAdapter)

    def _batches(self) -> Iterator[Any]:
        while True:
            found = False
            for batch in self._adapter.get_jax_iterator() if on_jax() else self._adapter.get_numpy_iterator():
                found = True
                yield batch
            if not self._endless or not found:
                return

    def description(self) -> dict[str, Any]:
        """The kind of data, and what is known of its sizes."""
        known = {"batches": self._adapter.num_batches, "batch_size": self._adapter.batch_size}
        kind = KINDS.get(type(self._adapter).__name__, type(self._adapter).__name__)
        return {"kind": kind, **{name: int(one) for name, one in known.items() if one is not None}}

    def state(self) -> dict[str, Any]:
        """Nothing: the position is enough."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing: `reach` reads the batches before the position."""

    def close(self) -> None:
        """Let go of the iterator."""
        self._iterator = None


def _zeros(spec: Any) -> Any:
    if getattr(spec, "shape", None) is None or spec.shape.rank is None:
        raise ProgramError("x: its batches need a known number of dimensions")
    shape = [1 if size is None else size for size in spec.shape]
    return np.zeros(shape, spec.dtype.as_numpy_dtype)
