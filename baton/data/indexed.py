"""Batches of a source with indices: a batch is a function of the seed, the epoch and its index."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from baton.data.batches import Batches
from baton.data.permutation import ORDER, Indices, Permutation
from baton.data.seeds import generator
from baton.data.sources import Samples
from baton.data.trees import stacked

Transform = Callable[[Any, np.random.Generator], Any]


class IndexedBatches(Batches):
    """Batches of samples with indices."""

    resumes = "index"

    def __init__(
        self,
        samples: Samples,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_remainder: bool,
        transform: Transform | None,
        collate: Callable[[list[Any]], Any],
        note: Callable[[str], object] | None,
    ) -> None:
        super().__init__(note)
        self._samples = samples
        self._size, self._batch_size = len(samples), batch_size
        self._seed, self._shuffle, self._drop_remainder = seed, shuffle, drop_remainder
        self._transform, self._collate = transform, collate
        self._order: tuple[int, Permutation] | None = None

    def __len__(self) -> int:
        whole, rest = divmod(self._size, self._batch_size)
        return whole + (rest > 0 and not self._drop_remainder)

    def identity(self) -> dict[str, Any]:
        """What decides the order."""
        return {
            "samples": self._size,
            "batch_size": self._batch_size,
            "seed": self._seed,
            "order": ORDER if self._shuffle else "as it is",
            "drop_remainder": self._drop_remainder,
        }

    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        order = self._order_of(epoch)
        for index in range(start, len(self)):
            yield self._batch(epoch, order(self._positions(index)))

    def _positions(self, index: int) -> Indices:
        first = index * self._batch_size
        return np.arange(first, min(first + self._batch_size, self._size))

    def _order_of(self, epoch: int) -> Callable[[Indices], Indices]:
        return Permutation(self._size, seed=self._seed, epoch=epoch) if self._shuffle else lambda positions: positions

    def _batch(self, epoch: int, indices: Indices) -> Any:
        if self._transform is None and self._collate is stacked:
            batch = self._samples.batch(indices)
            if batch is not None:
                return batch
        samples = self._samples.samples(indices)
        if self._transform is not None:
            transform = self._transform
            samples = [
                transform(sample, generator(self._seed, epoch, int(index)))
                for sample, index in zip(samples, indices, strict=True)
            ]
        return self._collate(samples)
