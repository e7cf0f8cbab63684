"""What loaders draw at random, apart from what the training draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from baton.torch.fetching import workers_outlast_interrupts
from baton.torch.random_states import apart, host_states, seed_host, set_host_states

ORDER, WORKERS = 0, 1
"""What is drawn with a seed of its own, beside the batches of an epoch, which have the numbers from 2."""


class Drawing:
    """Random numbers of a source that reads its batches one after the other: apart from those of the training."""

    def __init__(self) -> None:
        self.states: dict[str, Any] | None = None

    def next(self, batches: Iterator[Any]) -> Any:
        """The next batch. Raises StopIteration after the last one."""
        with apart():
            if self.states is not None:
                set_host_states(self.states)
            try:
                return next(batches)
            finally:
                self.states = host_states()

    def begin(self, seed: tuple[int, ...], epoch: int, loader: Any) -> Iterator[Any]:
        """An iterator over the loader for this epoch."""
        with seeded(loader, *seed, epoch, WORKERS), workers_outlast_interrupts():
            batches: Iterator[Any] = iter(loader)
            self.states = host_states()
        return batches


@contextmanager
def seeded(loader: Any, *key: int) -> Iterator[None]:
    """In the block all generators, and those of the loader and its samplers, have a state that depends on the key only.

    After it, they have the state that they had before.
    """
    batch_sampler = getattr(loader, "batch_sampler", None)
    owners = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    found = [getattr(one, "generator", None) for one in owners]
    generators = {id(one): one for one in found if isinstance(one, torch.Generator)}.values()
    before = [one.get_state() for one in generators]
    with apart():
        seed_host(*key)
        for one in generators:
            one.manual_seed(int(torch.randint(2**62, ())))
        yield
    for one, state in zip(generators, before, strict=True):
        one.set_state(state)
