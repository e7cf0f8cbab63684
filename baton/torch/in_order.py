"""Loaders that are read in order: a position is reached by their state, or by loading again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator
from typing import Any

from baton.adapters.random_states import apart
from baton.program.errors import ProgramError
from baton.torch.drawing import Drawing
from baton.torch.fetching import workers_outlast_interrupts
from baton.torch.loader_source import LoaderSource
from baton.torch.tensors import from_host, to_host


class _InOrder(LoaderSource):
    """What is read in order. Generators that the loader has of its own continue from one epoch to the next."""

    def __init__(self, loader: Any, seed: int) -> None:
        super().__init__(loader, seed)
        self._drawing = Drawing(loader)

    def identity(self) -> dict[str, Any]:
        # Each worker reads a part, so their number decides the order.
        return {**super().identity(), "num_workers": getattr(self._loader, "num_workers", None)}

    def state(self) -> dict[str, Any]:
        """The position, and the states of the loader's own generators: at the beginning of the epoch, and now."""
        return {**super().state(), "begun": self._drawing.begun, "own": self._drawing.own_states()}

    def _begin(self, epoch: int) -> Iterator[Any]:
        drawing = self._drawing
        kept = getattr(self._loader, "persistent_workers", False)
        for name in [*drawing.refused, *(name for name in drawing.names if kept and name.startswith("dataset."))]:
            where = "in workers that are kept, " if name not in drawing.refused else ""
            self.tell_once(f"data: {where}the state of {name} cannot be set: it draws other numbers after a restart")
        return drawing.begin(self._seed, epoch)


class ByReplay(_InOrder):
    """A DataLoader of an iterable data set: the batches before the position are loaded again."""

    resumes = "replay"

    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        drawing, began = self._drawing, time.monotonic()
        batches = self._begin(epoch)
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

    def restore(self, state: dict[str, Any]) -> None:
        """Set the loader's own generators as at the beginning of the epoch."""
        super().restore(state)
        self._drawing.set_own(state.get("begun" if state["index"] else "own", {}))


class ByState(_InOrder):
    """A loader that has states."""

    resumes = "state"

    def __init__(self, loader: Any, seed: int) -> None:
        super().__init__(loader, seed)
        self._batches: Iterator[Any] | None = None
        self._restored: dict[str, Any] | None = None

    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        restored, self._restored = self._restored, None
        if restored is not None and start and restored["ended"]:
            return
        self._batches = self._begin(epoch)
        if restored is not None and start:
            self._drawing.states = restored["drawing"]
            self._drawing.set_own(restored.get("own", {}))
        if getattr(self._loader, "num_workers", 0):
            self.tell_once(
                "what the workers of this loader draw at random is not part of its state: a run that continues inside "
                "an epoch draws other numbers. A DataLoader of a map-style data set has no such limit"
            )
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
        self._drawing.set_own(state.get("own" if state["ended"] else "begun", {}))

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
