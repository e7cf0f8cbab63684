"""What the sources of batches that stand on a loader share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any

import torch

from baton.program.errors import ProgramError

log = logging.getLogger(__name__)


class LoaderSource(ABC):
    """What the kinds of loaders share."""

    resumes: str

    def __init__(self, loader: Any, seed: int) -> None:
        self.note: Callable[[str], object] | None = None
        self._loader = loader
        own = getattr(loader, "generator", None)
        self._seed = (seed, *([own.initial_seed()] if isinstance(own, torch.Generator) else []))
        self._position = (0, 0)
        self._told = set[str]()

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
        epoch, index = self._position
        return {"kind": self.resumes, "epoch": epoch, "index": index, "identity": self.identity()}

    def identity(self) -> dict[str, Any]:
        """What has to be the same when a position is restored."""
        found = {name: getattr(self._loader, name, None) for name in ("batch_size", "drop_last")}
        found = {name: value if isinstance(value, int) else None for name, value in found.items()}
        try:
            found["samples"] = len(self._loader.dataset)
        except (AttributeError, TypeError, NotImplementedError):
            found["samples"] = None
        return found

    def tell_once(self, text: str) -> None:
        """An event and a warning, once for each text."""
        if text not in self._told and self.note is not None:
            self._told.add(text)
            log.warning("%s", text)
            self.note(text)

    def restore(self, state: dict[str, Any]) -> None:
        """Prepare the epoch of this state.

        Raises:
            ProgramError: it is the state of another kind of loader, or of other data.
        """
        if state.get("kind") != self.resumes:
            raise ProgramError(
                f"data: the save was made with a loader that resumes by {state.get('kind', 'something else')}, and "
                f"this one resumes by {self.resumes}. Pass a loader of the same kind, or begin a new run"
            )
        saved, now = state.get("identity", {}), self.identity()
        changed = [f"{name} was {saved[name]!r} and is {now[name]!r}" for name in now if saved.get(name) != now[name]]
        if saved and changed:
            raise ProgramError(
                f"data: the save was made with other data: {'; '.join(changed)}. Pass the same data, or begin a new run"
            )
