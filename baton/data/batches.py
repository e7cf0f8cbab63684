"""The batches of a source, and the position of a loop over them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any

from baton.data.trees import checksum
from baton.program.checks import count
from baton.program.errors import ProgramError
from baton.program.start import current_run

log = logging.getLogger(__name__)


class Batches(ABC):
    """The batches of each epoch of a source, from any position on. `baton.data.batches` makes it.

    Adapters such as `baton.keras.fit` take it as data: it is a `baton.adapters.batch_source.BatchSource`.
    `resumes`: how a position is reached: `index`, `state` or `replay`. `note`: called with what the user has to know,
    such as the seconds of a replay; by default it becomes an event of the run of this process. `strict`: whether data
    that is not that of the save is an error.
    """

    resumes: str

    def __init__(self, *, strict: bool, note: Callable[[str], object] | None) -> None:
        self.note = note
        self.strict = strict
        self._position = (0, 0)
        self._checksum: int | None = None
        self._last: tuple[int, int, int | None] = (0, 0, None)
        """The position after the last batch that was given, and the checksum of that batch."""
        self._open: Generator[Any, None, None] | None = None
        self._number: int | None = None
        """The number of epochs, if `epochs` was called."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches of an epoch.

        Raises:
            TypeError: it is not known before the end of the epoch.
        """

    def epochs(self, number: int) -> Iterator[tuple[int, Iterator[tuple[int, Any]]]]:
        """The epochs up to this number, from the position on: pairs of an epoch and its pairs of index and batch.

        Epochs and indices count from 0. After `restore`, the first epoch begins in its middle. If the save was made
        after its last batch, it has no more batches: what follows the batches, such as a validation, is done then.

        >>> import baton
        >>> import numpy as np
        >>> data = baton.data.batches(np.arange(4), batch_size=2, shuffle=False)
        >>> data.restore({**data.state(), "epoch": 1, "index": 1})
        >>> [(epoch, [(index, batch.tolist()) for index, batch in part]) for epoch, part in data.epochs(3)]
        [(1, [(1, [2, 3])]), (2, [(0, [0, 1]), (1, [2, 3])])]
        """
        self._number = count(number, "number")
        for epoch in range(self._position[0], number):
            start = self._position[1] if epoch == self._position[0] else 0
            yield epoch, self._numbered(epoch, start)
            self._set(epoch + 1, 0)

    def _numbered(self, epoch: int, start: int) -> Generator[tuple[int, Any], None, None]:
        batches = self.epoch(epoch, start)
        try:
            yield from enumerate(batches, start)
        finally:
            batches.close()

    def epoch(self, epoch: int, start: int = 0) -> Generator[Any, None, None]:
        """The batches of this epoch, counted from 0, from the batch `start` on.

        Closing the generator ends the threads that make batches ahead. A generator that is open is closed.
        """
        self._close_epoch()
        at = (count(epoch, "epoch"), count(start, "start"))
        expected = self._checksum if at == self._position else None
        self._set(*at, expected)
        self._open = self._given(*at, expected)
        return self._open

    def _given(self, epoch: int, start: int, expected: int | None) -> Generator[Any, None, None]:
        made = self._made(epoch, start, expected)
        try:
            for index, batch in enumerate(made, start):
                self._last = (epoch, index + 1, checksum(batch))
                self._set(*self._last)
                yield batch
        finally:
            made.close()

    @abstractmethod
    def _made(self, epoch: int, start: int, expected: int | None) -> Generator[Any, None, None]:
        """The batches from `start` on. Closing the generator ends its threads.

        `expected`: the checksum of the batch before them, None if it is not known. See `_compare`.
        """

    def _set(self, epoch: int, index: int, found: int | None = None) -> None:
        self._position, self._checksum = (epoch, index), found

    def state(self, *, epoch_done: bool = False) -> dict[str, Any]:
        """The position after the last batch that was given, as JSON. Pass it to `restore` after a restart.

        `epoch_done`: the position at the beginning of the next epoch instead: for a save after what follows the last
        batch of an epoch, such as its row of the history.
        """
        at = (self._position[0] + 1, 0) if epoch_done else self._position
        return {
            "epoch": at[0],
            "index": at[1],
            "check": None if epoch_done else self._checksum,
            "data": self.identity(),
        }

    def _drilled(self) -> dict[str, Any]:
        """What `baton drill` looks at."""
        return {"position": self._position}

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the order of the batches, as JSON. It has to be the same when a position is restored."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at this position: a state that `state` returned.

        Raises:
            ProgramError: it is no such state, or one of other data, or of another batch size, seed or order.
        """
        try:
            saved, epoch, index, found = dict(state["data"]), state["epoch"], state["index"], state["check"]
            at = (count(epoch, "epoch"), count(index, "index"))
        except (TypeError, KeyError) as error:
            raise ProgramError(f"restore: this is no state of baton.data.batches: {str(state)[:200]}") from error
        now = self.identity()
        changed = [
            f"{name} was {saved.get(name)!r} and is {now[name]!r}" for name in now if saved.get(name) != now[name]
        ]
        if changed:
            raise ProgramError(
                f"restore: the save was made with other data: {'; '.join(changed)}. A position of that data means "
                "nothing here. Pass the same arguments to baton.data.batches, or begin a new run"
            )
        self.close()
        self._set(*at, found)

    def _compare(self, batch: Any, expected: int | None, advice: str) -> None:
        """Say so if the batch before the position differs from the one that was given before the save."""
        if expected is None or checksum(batch) == expected:
            return
        epoch, index = self._position
        text = f"data: batch {index - 1} of epoch {epoch} differs from the one before the save: {advice}"
        if self.strict:
            raise ProgramError(text)
        self._tell(f"{text}. The training goes on, and is not the same as without an interruption")

    def _tell(self, text: str) -> None:
        log.warning("%s", text)
        run = current_run()
        note = self.note or (run.note if run is not None else None)
        if note is not None:
            note(text)

    def _close_epoch(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def close(self) -> None:
        """End the open epoch, its threads, and the processes."""
        self._close_epoch()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
