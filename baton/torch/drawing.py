"""What loaders draw at random, apart from what the training draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from baton.adapters.own_generators import OwnGenerators, own_generators, set_states, states_of
from baton.adapters.random_states import apart, seeded
from baton.torch.fetching import workers_outlast_interrupts
from baton.torch.random_states import host_states, set_host_states

ORDER, WORKERS = 0, 1
"""What is drawn with a seed of its own, beside the batches of an epoch, which have the numbers from 2."""


def generators_of(loader: Any) -> OwnGenerators:
    """The generators that a loader, its samplers, its data set and its functions have of their own."""
    parts = ("dataset", "collate_fn", "generator", "sampler", "batch_sampler")
    found = {name: getattr(loader, name) for name in parts if hasattr(loader, name)}
    return own_generators(**(found or {"loader": loader}))


class Drawing:
    """Random numbers of a source that reads its batches one after the other: apart from those of the training.

    `begun`: the states of the loader's own generators at the beginning of the epoch, which continue from one epoch to
    the next.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._own = generators_of(loader)
        self.begun = states_of(self._own.usable)
        self.states: dict[str, Any] | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """The names of the loader's generators whose states cannot be set."""
        return self._own.refused

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the loader's own generators."""
        return tuple(one.name for one in self._own.usable)

    def next(self, batches: Iterator[Any]) -> Any:
        """The next batch. Raises StopIteration after the last one."""
        with apart(forgets=True):
            if self.states is not None:
                set_host_states(self.states)
            try:
                return next(batches)
            finally:
                self.states = host_states()

    def begin(self, seed: tuple[int, ...], epoch: int) -> Iterator[Any]:
        """An iterator over the loader for this epoch."""
        self.begun = states_of(self._own.usable)
        with seeded(*seed, epoch, WORKERS), workers_outlast_interrupts():
            batches: Iterator[Any] = iter(self._loader)
            self.states = host_states()
        return batches

    def own_states(self) -> dict[str, Any]:
        """The present states of the loader's own generators."""
        return states_of(self._own.usable)

    def set_own(self, states: Mapping[str, Any]) -> None:
        """Set the loader's own generators."""
        set_states(self._own.usable, states)
