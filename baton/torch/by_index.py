"""A DataLoader of a map-style data set: a batch is a function of the seed, the epoch and its index."""

from __future__ import annotations

import zlib
from collections.abc import Generator
from typing import Any

from torch.utils.data import DataLoader

from baton.adapters.random_states import seeded
from baton.program.errors import ProgramError
from baton.torch.drawing import ORDER, WORKERS, generators_of
from baton.torch.fetching import SampleReader, as_it_is, before_worker, workers_outlast_interrupts
from baton.torch.loader_source import LoaderSource


class ByIndex(LoaderSource):
    """A DataLoader of a map-style data set: the batches before the position are not loaded."""

    resumes = "index"

    def __init__(self, loader: Any, seed: int) -> None:
        super().__init__(loader, seed)
        try:
            len(loader)
        except TypeError as error:
            raise ProgramError(f"batches: the sampler of the DataLoader needs a length: {error}") from error
        self._plan: list[Any] = []
        self._order: int | None = None
        self._must_be: tuple[int, int] | None = None
        self._inner: Any = None

    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        chosen = self._chosen(epoch)
        self._order = _digest(chosen)
        if self._must_be is not None:
            self._check_order(*self._must_be)
            self._must_be = None
        self._plan[:] = [(epoch, index, one) for index, one in enumerate(chosen[start:], start)]
        loader = self._by_index()
        with seeded(*self._seed, epoch, WORKERS), workers_outlast_interrupts():
            batches = iter(loader)  # it draws a seed for its workers
        yield from batches

    def _check_order(self, epoch: int, order: int) -> None:
        if (epoch, order) != (self._position[0], self._order):
            raise ProgramError(
                f"data: the order of epoch {epoch} is not the one of the save. The sampler or its seed has changed, or "
                "the order depends on more than PyTorch's seed and the epoch: on what the sampler has kept from the "
                "epochs before, or on a generator that is not an attribute of it"
            )

    def state(self) -> dict[str, Any]:
        """The position, and a checksum of the order of the epoch."""
        return {**super().state(), "order": self._order}

    def restore(self, state: dict[str, Any]) -> None:
        """Prepare the epoch. Its order is compared when it begins.

        At the beginning of an epoch, the order of the epoch before is compared at once.
        """
        super().restore(state)
        if state["index"]:
            self._must_be = (state["epoch"], state["order"])
        elif state["epoch"] and state["order"] is not None:
            self._position = (state["epoch"] - 1, 0)
            self._order = _digest(self._chosen(state["epoch"] - 1))
            self._check_order(state["epoch"] - 1, state["order"])

    def _chosen(self, epoch: int) -> list[Any]:
        """What the sampler of the loader gives in this epoch: the indices of each batch."""
        loader = self._loader
        sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        for one in {id(one): one for one in (sampler, loader.sampler, getattr(sampler, "sampler", None))}.values():
            set_epoch = getattr(one, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(epoch)
        own = generators_of(loader)
        for name in own.refused:
            self.tell_once(f"data: the state of {name} cannot be set, so it draws other numbers after a restart")
        with seeded(*self._seed, epoch, ORDER, own=own.usable):
            return list(sampler)

    def _by_index(self) -> Any:
        """A loader that reads the batches of the plan, with the workers of the given loader."""
        if self._inner is None:
            loader = self._loader
            reader = SampleReader(loader.dataset, loader.collate_fn, loader.batch_sampler is not None, self._seed)
            options = {
                name: getattr(loader, name)
                for name in ("num_workers", "pin_memory", "timeout", "persistent_workers", "pin_memory_device")
                if hasattr(loader, name)
            }
            if loader.num_workers:
                options["prefetch_factor"] = loader.prefetch_factor
                options["multiprocessing_context"] = loader.multiprocessing_context
                options["worker_init_fn"] = before_worker(loader.worker_init_fn)
            self._inner = DataLoader(reader, batch_size=None, sampler=self._plan, collate_fn=as_it_is, **options)
        return self._inner


def _digest(chosen: list[Any]) -> int:
    """A checksum of the order. Objects other than numbers and text count by their number only."""
    return zlib.crc32(repr([_shown(one) for one in chosen]).encode())


def _shown(one: Any) -> Any:
    if isinstance(one, list | tuple):
        return [_shown(item) for item in one]
    return one if isinstance(one, int | str) else type(one).__name__
