"""What a training loop needs of its data to resume in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class BatchSource(Protocol):
    """Batches that can be given again from any position. `baton.data.batches` makes one of most kinds of data.

    `resumes` says how `epoch(epoch, start)` reaches a position: `index` (at once: a batch is a function of the seed,
    the epoch and its index), `state` (the source has states; `restore` has to be called first) or `replay` (the batches
    before it are read again). `note`: called with a text for the events of the run, such as `run.note`.
    """

    resumes: str
    note: Callable[[str], object] | None

    def __len__(self) -> int:
        """The number of batches of an epoch.

        Raises:
            TypeError: it is not known before the end of the epoch.
        """
        ...

    def epoch(self, epoch: int, start: int = 0) -> Generator[Any, None, None]:
        """The batches of this epoch, counted from 0, from the batch `start` on.

        Closing the generator ends the threads that make batches ahead. Only one generator may be open at a time.
        """
        ...

    def state(self) -> dict[str, Any]:
        """The position after the last batch that was given, as JSON: `epoch`, `index` and what `restore` checks.

        Batches that were made ahead and not yet given do not count.
        """
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Prepare `epoch(state["epoch"], state["index"])`. Call it with what `state` returned, before that.

        Raises:
            ProgramError: the state is of other data, or of another batch size, seed or order.
        """
        ...


def batches_per_epoch(source: BatchSource) -> int | None:
    """The number of batches of an epoch; None if it is not known before the end of the epoch."""
    try:
        return len(source)
    except TypeError:
        return None
