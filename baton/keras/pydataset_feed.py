"""Batches of a `keras.utils.PyDataset`, by their index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from baton.data.permutation import ORDER, Permutation
from baton.data.seeds import seeded
from baton.keras.feeds import AS_IT_IS, Handed


class PyDatasetFeed:
    """Batches of a PyDataset. The order of the batches is a function of the seed and the epoch.

    `__getitem__`, `on_epoch_begin` and `on_epoch_end` run with the generators of Python and of NumPy seeded by their
    place, so what they draw does not depend on what was drawn before. Where threads make batches (`workers` above 1
    without `use_multiprocessing`), this is not possible: there `__getitem__` must not use these generators.

    After a restart, `on_epoch_begin` and `on_epoch_end` are called for the epochs before, so that a data set which
    shuffles itself there has the same order. `restarts`: each epoch begins with the first batch.
    """

    read_again = 0

    def __init__(
        self,
        data: Any,
        *,
        seed: int,
        shuffle: bool | str,
        steps: int | None,
        first_epoch: int,
        class_weight: dict[int, float] | None,
        restarts: bool,
    ) -> None:
        self._data, self._seed, self._shuffle, self._class_weight = data, seed, shuffle, class_weight
        self._restarts = restarts
        self._pass: int | None = data.num_batches
        self.steps: int | None = steps or self._pass
        self._handed = Handed()
        self._example: Any = None
        self._open: PyDatasetAdapter | None = None
        self._begun = self._ended = first_epoch - 1
        with seeded(seed, "end", -1):
            data.on_epoch_end()  # as Keras does before the first epoch

    def example(self) -> Any:
        """The first batch."""
        if self._example is None:
            with seeded(self._seed, "batch", 0, 0):
                self._example = PyDatasetAdapter(self._data, self._class_weight)._standardize_batch(self._data[0])
        return self._example

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on."""
        if self._begun < epoch:
            self._begin(epoch)
        self.close()
        assert self.steps is not None
        base = 0 if self._restarts else epoch * self.steps
        numbers = range(base + start, base + self.steps)
        threads = self._data.workers > 1 and not self._data.use_multiprocessing
        part = _Part(self._data, [self._place(number) for number in numbers], None if threads else self._seed)
        self._open = PyDatasetAdapter(part, self._class_weight)
        self._open.on_epoch_begin()
        return self._handed.iterator(self._open._get_iterator(), self.example, ahead=True)

    def end_epoch(self, epoch: int) -> None:
        """Call `on_epoch_end` of the data set."""
        self.close()
        with seeded(self._seed, "end", epoch):
            self._data.on_epoch_end()
        self._ended = epoch

    def _begin(self, epoch: int) -> None:
        with seeded(self._seed, "begin", epoch):
            self._data.on_epoch_begin()
        self._begun = epoch

    def _replay(self, epoch: int) -> None:
        kind = type(self._data)
        if kind.on_epoch_begin is keras.utils.PyDataset.on_epoch_begin and (
            kind.on_epoch_end is keras.utils.PyDataset.on_epoch_end
        ):
            self._ended = self._begun = epoch - 1
            return
        for before in range(self._ended + 1, epoch):
            if self._begun < before:
                self._begin(before)
            self.end_epoch(before)

    def _place(self, number: int) -> tuple[int, int]:
        """The pass over the data, and the index in it, of a batch that is counted from the beginning."""
        if self._pass is None:
            return 0, number
        round_, position = divmod(number, self._pass)
        if not self._shuffle:
            return round_, position
        order = Permutation(self._pass, seed=self._seed, epoch=round_)
        return round_, int(order.part(position, position + 1)[0])

    def description(self) -> dict[str, Any]:
        """What decides the order, and what the hooks draw."""
        order = ORDER if self._shuffle else AS_IT_IS
        return {"kind": "a PyDataset", "batches": self._pass, "order": order, "seed": self._seed}

    def state(self) -> dict[str, Any]:
        """Nothing: the order is a function of the epoch."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing: `open` reaches each position."""

    def reach(self, epoch: int, start: int | None) -> None:
        """Call the hooks of the data set that were called before this place."""
        self._replay(epoch)
        if start != 0 and self._begun < epoch:
            self._begin(epoch)

    def close(self) -> None:
        """End the threads or processes that make batches."""
        if self._open is not None:
            self._open.on_epoch_end()
            self._open = None


class _Part(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Batches of another data set in this order, made by as many threads or processes as it wants."""

    def __init__(self, data: Any, places: list[tuple[int, int]], seed: int | None) -> None:
        super().__init__(
            workers=data.workers, use_multiprocessing=data.use_multiprocessing, max_queue_size=data.max_queue_size
        )
        self._data, self._places, self._seed = data, places, seed

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Any:
        round_, index = self._places[number]
        if self._seed is None:
            return self._data[index]
        with seeded(self._seed, "batch", round_, index):
            return self._data[index]
