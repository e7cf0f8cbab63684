"""How the batches of a source with indices are made: which samples they have, and how those become a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from baton.adapters.own_generators import NONE, OwnGenerators, own_generators
from baton.adapters.random_states import seeded
from baton.data.permutation import ORDER, Indices, Permutation
from baton.data.seeds import generator
from baton.data.sources import Samples
from baton.data.trees import stacked

Transform = Callable[[Any, np.random.Generator], Any]
Collate = Callable[[list[Any]], Any]


@dataclass
class Plan:
    """Which samples are in which batch.

    >>> plan = Plan(size=5, batch_size=2, seed=0, shuffle=False, drop_remainder=False)
    >>> [plan.indices(0, index).tolist() for index in range(len(plan))]
    [[0, 1], [2, 3], [4]]
    """

    size: int
    batch_size: int
    seed: int
    shuffle: bool
    drop_remainder: bool
    _order: tuple[int, Permutation] | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        whole, rest = divmod(self.size, self.batch_size)
        return whole + (rest > 0 and not self.drop_remainder)

    def indices(self, epoch: int, index: int) -> Indices:
        """The indices of the samples of a batch."""
        first = index * self.batch_size
        stop = min(first + self.batch_size, self.size)
        if not self.shuffle:
            return np.arange(first, stop)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, Permutation(self.size, seed=self.seed, epoch=epoch))
        return self._order[1].part(first, stop)

    def identity(self) -> dict[str, Any]:
        """What decides the order, as JSON."""
        order = ORDER if self.shuffle else "as the source"
        return {
            "samples": self.size,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "order": order,
            "drop_remainder": self.drop_remainder,
        }


@dataclass
class Maker:
    """Makes batches."""

    samples: Samples
    plan: Plan
    transform: Transform | None
    collate: Collate | None
    own: OwnGenerators = field(default=NONE, init=False, repr=False, compare=False)
    """The generators that the source, `transform` and `collate` have of their own, in this process and epoch."""
    _begun: int | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which finds its own copies of the generators."""
        return {**vars(self), "own": NONE, "_begun": None}

    def begin(self, epoch: int) -> None:
        """Prepare the source for this epoch. More calls for the same epoch do nothing."""
        self.samples.begin(epoch, self.plan.seed)
        if epoch != self._begun:
            self.own = own_generators(source=self.samples.source, transform=self.transform, collate=self.collate)
            self._begun = epoch

    def alone(self, epoch: int, index: int) -> Any:
        """A batch, where no other thread draws random numbers: what the source draws is a function of the place too."""
        indices = self.plan.indices(epoch, index)
        if self.transform is None and self.collate is None and (rows := self.samples.rows(indices)) is not None:
            return rows
        with seeded("batch", self.plan.seed, epoch, index, own=self.own.usable):
            return self.beside_others(epoch, indices)

    def beside_others(self, epoch: int, indices: Indices) -> Any:
        """A batch of these samples, for a thread beside others."""
        if self.transform is None and self.collate is None and (rows := self.samples.rows(indices)) is not None:
            return rows
        samples = self.samples.samples(epoch, indices)
        if self.transform is not None:
            samples = [
                self.transform(sample, generator(self.plan.seed, epoch, int(index)))
                for sample, index in zip(samples, indices, strict=True)
            ]
        if self.samples.whole_batches:
            return samples[0]
        return (self.collate or stacked)(samples)
