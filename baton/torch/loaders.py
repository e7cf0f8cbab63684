"""DataLoaders as sources of batches that can be given again from any position."""

from __future__ import annotations

import itertools
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from baton.adapters.batch_source import BatchSource
from baton.program.errors import ProgramError
from baton.torch.drawing import ORDER, WORKERS, Drawing, seeded
from baton.torch.fetching import SampleReader, as_it_is, before_worker, workers_outlast_interrupts
from baton.torch.random_states import apart
from baton.torch.tensors import from_host, to_host


def loader_source(loader: Any, seed: int) -> BatchSource:
    """The batches of this loader.

    Raises:
        ProgramError: it is no DataLoader and has no state, or it is a DataLoader without a length.
    """
    if callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None)):
        return _ByState(loader, seed)
    if not isinstance(loader, DataLoader):
        raise ProgramError(
            f"batches: a {type(loader).__qualname__} cannot be resumed. Pass a DataLoader, a loader with state_dict() "
            "and load_state_dict(), or baton.data.batches(...), which takes most kinds of data"
        )
    if isinstance(loader.dataset, IterableDataset):
        return _ByReplay(loader, seed)
    return _ByIndex(loader, seed)


class _LoaderSource(ABC):
    """What the kinds of loaders share."""

    resumes: str

    def __init__(self, loader: Any, seed: int) -> None:
        self.note: Callable[[str], object] | None = None
        self._loader = loader
        own = getattr(loader, "generator", None)
        self._seed = (seed, *([own.initial_seed()] if isinstance(own, torch.Generator) else []))
        self._position = (0, 0)

    def __len__(self) -> int:
        """The number of batches of an epoch. Raises TypeError if the loader does not know it."""
        return len(self._loader)

    def epoch(self, epoch: int, start: int = 0) -> Generator[Any, None, None]:
        """The batches of this epoch from `start` on."""
        self._position = (epoch, start)
        batches = self._made(epoch, start)
        try:
            for index, batch in enumerate(batches, start):
                self._position = (epoch, index + 1)
                yield batch
        finally:
            batches.close()

    @abstractmethod
    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        """The batches of this epoch from `start` on."""

    def state(self) -> dict[str, Any]:
        """The position after the last batch that was given."""
        return {"kind": self.resumes, "epoch": self._position[0], "index": self._position[1]}

    def restore(self, state: dict[str, Any]) -> None:
        """Prepare the epoch of this state.

        Raises:
            ProgramError: it is the state of another kind of loader.
        """
        if state.get("kind") != self.resumes:
            raise ProgramError(
                f"data: the save was made with a loader that resumes by {state.get('kind', 'something else')}, and "
                f"this one resumes by {self.resumes}. Pass a loader of the same kind, or begin a new run"
            )


class _ByIndex(_LoaderSource):
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
        if self._must_be not in (None, (epoch, self._order)):
            raise ProgramError(
                f"data: the order of epoch {epoch} is not the one of the save. The data set has another length, the "
                "batch size or the sampler has changed, or the order depends on more than PyTorch's seed and the epoch"
            )
        self._must_be = None
        self._plan[:] = [(epoch, index, one) for index, one in enumerate(chosen[start:], start)]
        loader = self._by_index()
        with seeded(loader, *self._seed, epoch, WORKERS), workers_outlast_interrupts():
            batches = iter(loader)  # it draws a seed for its workers
        yield from batches

    def state(self) -> dict[str, Any]:
        """The position, and a checksum of the order of the epoch."""
        return {**super().state(), "order": self._order}

    def restore(self, state: dict[str, Any]) -> None:
        """Prepare the epoch; its order is compared when it begins."""
        super().restore(state)
        self._must_be = (state["epoch"], state["order"])

    def _chosen(self, epoch: int) -> list[Any]:
        """What the sampler of the loader gives in this epoch: the indices of each batch."""
        loader = self._loader
        sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        for one in {id(one): one for one in (sampler, loader.sampler, getattr(sampler, "sampler", None))}.values():
            set_epoch = getattr(one, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(epoch)
        with seeded(loader, *self._seed, epoch, ORDER):
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


class _ByReplay(_LoaderSource):
    """A DataLoader of an iterable data set: the batches before the position are loaded again."""

    resumes = "replay"

    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        drawing, began = Drawing(), time.monotonic()
        batches = drawing.begin(self._seed, epoch, self._loader)
        for index in itertools.count():
            if start and index == start and self.note is not None:
                self.note(f"loading {start} batches of epoch {epoch} again took {time.monotonic() - began:.1f} s")
            try:
                batch = drawing.next(batches)
            except StopIteration:
                if index >= start:
                    return
                raise ProgramError(f"data: epoch {epoch} ends after {index} batches; {start} were saved") from None
            if index >= start:
                yield batch


class _ByState(_LoaderSource):
    """A loader that has states."""

    resumes = "state"

    def __init__(self, loader: Any, seed: int) -> None:
        super().__init__(loader, seed)
        self._drawing = Drawing()
        self._batches: Iterator[Any] | None = None
        self._restored: dict[str, Any] | None = None
        self._noted = False

    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        restored, self._restored = self._restored, None
        if restored is not None and start and restored["ended"]:
            return
        self._batches = self._drawing.begin(self._seed, epoch, self._loader)
        if restored is not None and start:
            self._drawing.states = restored["drawing"]
        self._tell()
        while self._batches is not None:
            try:
                batch = self._drawing.next(self._batches)
            except StopIteration:
                self._batches = None
                return
            yield batch

    def state(self) -> dict[str, Any]:
        """The position, and the state of the loader.

        Raises:
            ProgramError: the loader has more batches than its length, or its state has what a save cannot hold.
        """
        self._end_if_at_its_length()
        own = to_host(self._loader.state_dict(), "data")
        ended = self._batches is None
        return {**super().state(), "loader": own, "drawing": self._drawing.states, "ended": ended}

    def restore(self, state: dict[str, Any]) -> None:
        """Give the loader its state."""
        super().restore(state)
        self._loader.load_state_dict(from_host(state["loader"], None, "data"))
        self._drawing.states = state["drawing"]
        self._restored = state
        if state["ended"]:
            with apart(), workers_outlast_interrupts():
                iter(self._loader)  # takes the state of an epoch that has ended, so that the next one begins

    def _end_if_at_its_length(self) -> None:
        # Many loaders begin the next epoch if their state is at the end of one. So a state at the end must be known.
        try:
            at_its_length = self._batches is not None and self._position[1] >= len(self)
        except TypeError:
            return
        if at_its_length and self._batches is not None:
            try:
                self._drawing.next(self._batches)
            except StopIteration:
                self._batches = None
                return
            raise ProgramError(f"data: the loader has more than the {len(self)} batches that its length says")

    def _tell(self) -> None:
        if getattr(self._loader, "num_workers", 0) and self.note is not None and not self._noted:
            self._noted = True
            self.note(
                "what the workers of this loader draw at random is not part of its state: a run that continues inside "
                "an epoch draws other numbers. A DataLoader of a map-style data set has no such limit"
            )


def _digest(chosen: list[Any]) -> int:
    """A checksum of the order. Objects other than numbers and text count by their number only."""
    return zlib.crc32(repr([_shown(one) for one in chosen]).encode())


def _shown(one: Any) -> Any:
    if isinstance(one, list | tuple):
        return [_shown(item) for item in one]
    return one if isinstance(one, int | str) else type(one).__name__
