"""Batches that have no index: of `tf.data`, Python generators and other iterables. A restart reads them again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter

from baton.keras.feeds import Handed
from baton.keras.support import on_jax
from baton.program.errors import ProgramError

NO_MORE = (
    "x has no more batches in epoch {epoch}: a generator can be read only once, so let it yield enough for all epochs "
    "and give steps_per_epoch, or use data that can be read again"
)


class StreamFeed:
    """Batches of an adapter of Keras for data without indices.

    With `steps_per_epoch`, an epoch begins where the one before it ended. `first_epoch`: `initial_epoch`. `restarts`:
    each epoch begins with the first batch, as a validation does.
    """

    def __init__(
        self, adapter: Any, *, steps: int | None, first_epoch: int, restarts: bool, note: Callable[[str], object]
    ) -> None:
        if restarts and isinstance(adapter, GeneratorDataAdapter):
            raise ProgramError(
                "validation_data: a generator can be read only once, and each validation needs the same batches: give "
                "arrays, a PyDataset or a tf.data.Dataset"
            )
        self._adapter, self._first, self._restarts, self._note = adapter, first_epoch, restarts, note
        self._endless = steps is not None and not restarts
        self.steps: int | None = steps or adapter.num_batches
        self._handed = Handed()
        self._iterator: Iterator[Any] | None = None
        self._at = (first_epoch, 0)
        self._dataset: Any = None
        self._reached = False

    def example(self) -> Any:
        """A batch of zeros of the form of the batches, or the first batch of a generator."""
        if isinstance(self._adapter, GeneratorDataAdapter):
            return self._adapter._first_batches[0]
        if (dataset := getattr(self._adapter, "_dataset", None)) is not None:
            return tree.map_structure(_zeros, dataset.element_spec)
        return next(iter(self._adapter.get_numpy_iterator()))

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on. In a new process, this reads the batches before them."""
        if self._restarts:
            self._iterator = self._new()
            self._skip(start)
        elif self._at != (epoch, start):
            self.reach(epoch, start)
        elif not self._reached and (self._iterator is None or not self._endless):
            self._iterator = self._new()
        self._reached = False
        assert self._iterator is not None
        return self._iterator

    def end_epoch(self, epoch: int) -> None:
        """The next batch is the first one of the next epoch."""
        self._at = (epoch + 1, 0)

    def reach(self, epoch: int, start: int) -> None:
        """Read the batches before this place again, as the first process did."""
        if self._at == (epoch, start):
            return
        began, read = time.monotonic(), 0
        if self._endless:
            assert self.steps is not None
            self._iterator = self._new()
            read = self._skip((epoch - self._first) * self.steps + start)
        else:
            for _ in range(self._first, epoch):
                self._iterator = self._new()
                read += self._skip(None)
            self._iterator = self._new()
            read += self._skip(start)
        self._at, self._reached = (epoch, start), True
        seconds = time.monotonic() - began
        self._note(
            f"x has no indices, so {read} batches were read again in {seconds:.1f} s to reach epoch {epoch + 1}, step "
            f"{start}. Arrays, a PyDataset, or baton.data.batches(...) continue at once"
        )

    def _skip(self, number: int | None) -> int:
        assert self._iterator is not None
        return sum(1 for _ in itertools.islice(self._iterator, number))

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

    def state(self) -> dict[str, Any]:
        """Nothing: the position is enough."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing: `open` reads the batches before its position."""

    def close(self) -> None:
        """Let go of the iterator."""
        self._iterator = None


def _zeros(spec: Any) -> Any:
    if getattr(spec, "shape", None) is None or spec.shape.rank is None:
        raise ProgramError("x: its batches need a known number of dimensions")
    shape = [1 if size is None else size for size in spec.shape]
    return np.zeros(shape, spec.dtype.as_numpy_dtype)
