"""The batches of a source, and the position of a loop over them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any

from baton.program.checks import count
from baton.program.errors import ProgramError

log = logging.getLogger(__name__)


class Batches(ABC):
    """The batches of each epoch of a source, from any position on. `baton.data.batches` makes it.

    It is a `baton.adapters.batch_source.BatchSource`, so `baton.keras.fit` and the other adapters take it as data.
    """

    resumes: str

    def __init__(self, note: Callable[[str], object] | None) -> None:
        self.note = note
        self._position = (0, 0)
        self._open: Generator[Any, None, None] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches of an epoch. Raises TypeError if nobody knows it before the end of the epoch."""

    def epochs(self, number: int) -> Iterator[tuple[int, Iterator[tuple[int, Any]]]]:
        """The epochs up to this number, from the position on: pairs of an epoch and its pairs of index and batch.

        Epochs and indices count from 0. After `restore`, the first epoch begins in its middle; if the save was made
        after its last batch, it has no more batches, so what comes after the batches, such as a validation, is done.
        """
        for epoch in range(self._position[0], count(number, "number")):
            start = self._position[1] if epoch == self._position[0] else 0
            yield epoch, self._numbered(epoch, start)
            self._position = (epoch + 1, 0)

    def _numbered(self, epoch: int, start: int) -> Generator[tuple[int, Any], None, None]:
        batches = self.epoch(epoch, start)
        try:
            yield from enumerate(batches, start)
        finally:
            batches.close()

    def epoch(self, epoch: int, start: int = 0) -> Generator[Any, None, None]:
        """The batches of this epoch, counted from 0, from the batch `start` on."""
        self.close()
        self._position = (count(epoch, "epoch"), count(start, "start"))
        self._open = self._given(epoch, start)
        return self._open

    def _given(self, epoch: int, start: int) -> Generator[Any, None, None]:
        made = self._made(epoch, start)
        try:
            for index, batch in enumerate(made, start):
                self._position = (epoch, index + 1)
                yield batch
        finally:
            made.close()

    @abstractmethod
    def _made(self, epoch: int, start: int) -> Generator[Any, None, None]:
        """The batches of `epoch`. Closing the generator ends its threads."""

    def state(self, *, epoch_done: bool = False) -> dict[str, Any]:
        """The position after the last batch that was given, as JSON. Pass it to `restore` after a restart.

        `epoch_done`: the position at the beginning of the next epoch instead, for a save after what follows the last
        batch of an epoch, such as its row of the history.
        """
        epoch, index = (self._position[0] + 1, 0) if epoch_done else self._position
        return {"epoch": epoch, "index": index, "data": self.identity()}

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the order of the batches, as JSON. It has to be the same when a position is restored."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at this position: a state that `state` returned.

        Raises:
            ProgramError: the state is of other data, or of another batch size, seed or order.
        """
        saved, now = state.get("data", {}), self.identity()
        changed = [
            f"{name} was {saved.get(name)!r} and is {now[name]!r}" for name in now if saved.get(name) != now[name]
        ]
        if changed:
            raise ProgramError(
                f"data: the save was made with other data: {'; '.join(changed)}. Its position has no meaning for this "
                "data. Pass the same arguments to baton.data.batches, or begin a new run"
            )
        self.close()
        self._position = (count(state["epoch"], "epoch"), count(state["index"], "index"))

    def close(self) -> None:
        """End the open epoch, and its threads."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
