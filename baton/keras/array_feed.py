"""Batches of arrays in memory, in an order that is a function of the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.trainers.data_adapters import array_slicing
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from baton.data.permutation import ORDER, Indices, Permutation
from baton.keras.feeds import AS_IT_IS, to_the_device
from baton.keras.support import on_jax

BATCHES_A_BLOCK = 64


class ArrayFeed:
    """Batches of what an ArrayDataAdapter of Keras holds: NumPy arrays, tensors, pandas, sparse matrices.

    `steps`: `steps_per_epoch`, if given. Then an epoch begins where the one before it ended, and the order of the
    samples changes after all were used once. `shuffle`: True, False, or "batch" (inside each batch). `restarts`: each
    epoch begins with the first batch.
    """

    read_again = 0

    def __init__(
        self, adapter: ArrayDataAdapter, *, seed: int, shuffle: bool | str, steps: int | None, restarts: bool
    ) -> None:
        self._size, self._batch_size = adapter._num_samples, adapter.batch_size
        self._pass = adapter.num_batches
        self._seed, self._shuffle, self._restarts = seed, shuffle, restarts
        self._order: tuple[int, Permutation] | None = None
        self.steps: int | None = steps or self._pass
        self._epoch_steps: int = self.steps
        target = "jax" if on_jax() else "tensorflow"
        self._inputs = array_slicing.convert_to_sliceable(adapter._inputs, target_backend=target)
        self._current: Iterator[Indices] = iter(())
        self._dataset: Any = None

    def example(self) -> Any:
        """The first batch in the order of the arrays."""
        first = np.arange(min(self._batch_size, self._size))
        return next(self._sliced(iter([first]))) if on_jax() else self._gathered(first, self._tensors())

    def open(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of this epoch from `start` on."""
        indices = self._indices(epoch, start)
        if on_jax():
            return to_the_device(self._sliced(indices))
        self._current = indices
        if self._dataset is None:
            self._dataset = self._make()
        found: Iterator[Any] = iter(self._dataset)
        return found

    def end_epoch(self, epoch: int) -> None:
        """Nothing: no epoch depends on the one before it."""

    def description(self) -> dict[str, Any]:
        """What decides the order."""
        found = {"kind": "arrays", "samples": self._size, "batch_size": self._batch_size, "order": self._name()}
        return {**found, "seed": self._seed} if self._shuffle else found

    def state(self) -> dict[str, Any]:
        """Nothing: the order is a function of the epoch."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing: `open` reaches each position."""

    def reach(self, epoch: int, start: int | None) -> None:
        """Nothing: `open` does it."""

    def close(self) -> None:
        """Nothing: what TensorFlow reads ahead ends with its iterator."""

    def _name(self) -> str:
        return f"{ORDER} in batches" if self._shuffle == "batch" else ORDER if self._shuffle else AS_IT_IS

    def _indices(self, epoch: int, start: int) -> Iterator[Indices]:
        """The indices of the samples of each batch."""
        base = 0 if self._restarts else epoch * self._epoch_steps
        for number in range(base + start, base + self._epoch_steps):
            round_, batch = divmod(number, self._pass)
            first = batch * self._batch_size
            end = min(first + self._batch_size, self._size)
            if self._shuffle == "batch":
                yield first + Permutation(end - first, seed=self._seed, epoch=number).part(0, end - first)
            elif self._shuffle:
                yield self._permutation(round_).part(first, end)
            else:
                yield np.arange(first, end)

    def _permutation(self, round_: int) -> Permutation:
        if self._order is None or self._order[0] != round_:
            self._order = round_, Permutation(self._size, seed=self._seed, epoch=round_)
        return self._order[1]

    def _sliced(self, indices: Iterator[Indices]) -> Iterator[Any]:
        for some in indices:
            chosen = some if self._shuffle else slice(int(some[0]), int(some[-1]) + 1)
            yield tree.map_structure(lambda one, chosen=chosen: _rows(one, chosen), self._inputs)

    def _make(self) -> Any:
        """A data set like that of Keras. Python gives it the indices only; TensorFlow gathers in threads of its own."""
        import tensorflow as tf

        # If all batches have the same size, the compiled step has static shapes, as with `fit`.
        whole = self._size % self._batch_size == 0
        width = self._batch_size if whole else None
        indices = tf.data.Dataset.from_generator(self._blocks, output_signature=tf.TensorSpec((None, width), tf.int64))
        inputs = tf.data.Dataset.from_tensors(self._tensors()).repeat()
        batches = tf.data.Dataset.zip((indices.flat_map(tf.data.Dataset.from_tensor_slices), inputs))
        batches = batches.map(self._gathered, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return batches.with_options(options).prefetch(tf.data.AUTOTUNE)

    def _blocks(self) -> Iterator[Any]:
        """Indices of several batches at once: a call from TensorFlow into Python costs as much as a small step."""
        block: list[Indices] = []
        for some in self._current:
            if block and (len(some) != len(block[0]) or len(block) == BATCHES_A_BLOCK):
                yield np.stack(block)
                block = []
            block.append(some)
        if block:
            yield np.stack(block)

    def _tensors(self) -> Any:
        return tree.lists_to_tuples(self._inputs)

    @staticmethod
    def _gathered(indices: Any, inputs: Any) -> Any:
        import tensorflow as tf

        def one(leaf: Any) -> Any:
            if isinstance(leaf, array_slicing.TensorflowSparseWrapper):
                return array_slicing.slice_tensorflow_sparse_wrapper(leaf, indices)
            if isinstance(leaf, list | tuple | dict):
                return None
            return tf.gather(leaf, indices, axis=0) if tf.is_tensor(leaf) or isinstance(leaf, np.ndarray) else leaf

        return tree.traverse(one, inputs)


def _rows(one: Any, chosen: Indices | slice) -> Any:
    return None if one is None else one.convert_to_jax_compatible(one[chosen])
