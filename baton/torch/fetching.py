"""What makes a batch of a map-style data set, in this process or in a worker of a DataLoader."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import TensorDataset, default_collate, get_worker_info

from baton.adapters.own_generators import NONE, OwnGenerators, own_generators
from baton.adapters.random_states import seed_process, seeded

FIRST_BATCH = 2
"""The number of the first batch among what is drawn with a seed of its own in an epoch."""


class SampleReader:
    """A data set whose items are whole batches: the index of one is (epoch, number of the batch, what to read).

    The generators of the process, and those that the data set has of its own, are seeded for each batch, so
    augmentations do not depend on which worker makes it.
    """

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], batched: bool, seed: tuple[int, ...]) -> None:
        self.dataset = dataset
        self._collate = collate
        self._batched = batched
        self._seed = seed
        # The usual parts that draw nothing: seeding takes a tenth of a millisecond.
        self._draws = type(dataset) is not TensorDataset or collate is not default_collate
        self._own: tuple[int | None, OwnGenerators] = (None, NONE)

    def __getstate__(self) -> dict[str, Any]:
        """For a worker, which finds its own copies of the generators."""
        return {**vars(self), "_own": (None, NONE)}

    def __getitem__(self, key: tuple[int, int, Any]) -> Any:
        """The batch."""
        epoch, index, chosen = key
        if not self._draws:
            return self._collate(self._read(chosen))
        if epoch != self._own[0]:  # a data set may make new generators when it is told the epoch
            self._own = (epoch, own_generators(dataset=self.dataset, collate_fn=self._collate))
        place, own = (*self._seed, epoch, FIRST_BATCH + index), self._own[1].usable
        if get_worker_info() is not None:  # where nothing else draws
            seed_process(*place, own=own)
            return self._collate(self._read(chosen))
        with seeded(*place, own=own, forgets=True):
            return self._collate(self._read(chosen))

    def _read(self, chosen: Any) -> Any:
        if not self._batched:
            return self.dataset[chosen]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(chosen)
        return [self.dataset[one] for one in chosen]


def as_it_is(batch: Any) -> Any:
    """The batch: `SampleReader` has collated it."""
    return batch


def before_worker(given: Callable[[int], object] | None) -> Callable[[int], None]:
    """The `worker_init_fn` of a loader of batches. `given`: that of the script."""
    return functools.partial(_begin_worker, given)


@contextmanager
def workers_outlast_interrupts() -> Iterator[None]:
    """Workers that are started in the block do not get SIGINT: Ctrl-C reaches all processes of a terminal.

    PyTorch's workers would end, and the loop could not reach its next save. A signal to this process comes later.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by what is started
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(given: Callable[[int], object] | None, number: int) -> None:
    information = get_worker_info()
    # The script expects its own data set there, not the one of the batches. The object refuses assignments.
    object.__setattr__(information, "dataset", information.dataset.dataset)
    if given is not None:
        given(number)
