"""Batches of a source without indices: an iterable. A position is reached by its state, or by reading again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from baton.data.batches import Batches
from baton.data.making import Collate, Transform
from baton.data.reading import Reading, depends_on_epochs_before, restores_itself
from baton.data.seeds import generator
from baton.data.sources import is_a
from baton.data.trees import checksum, stacked
from baton.program.errors import ProgramError

DIFFERS = (
    "the source does not give the same samples when it is read again. Pass a function of the epoch that returns an "
    "iterator with a fixed order, or a data set with indices"
)


@dataclass(frozen=True)
class Items:
    """How items become batches.

    `size`: items of a batch; None if each item is a batch.
    """

    size: int | None
    drop_remainder: bool
    seed: int
    transform: Transform | None
    collate: Collate | None

    def complete(self, group: list[Any]) -> bool:
        """Whether the items are a batch that is given."""
        return len(group) == (self.size or 1) or (len(group) > 0 and not self.drop_remainder)

    def batch(self, group: list[Any], epoch: int, index: int) -> Any:
        """A batch of the items."""
        if self.transform is not None:
            first = index * (self.size or 1)
            group = [
                self.transform(item, generator(self.seed, epoch, first + number)) for number, item in enumerate(group)
            ]
        return group[0] if self.size is None else (self.collate or stacked)(group)


class StreamBatches(Batches):
    """Batches of an iterable, which is read in the calling thread.

    `whole_run`: whether a replay also reads the epochs before; None: where one epoch may depend on the other.
    """

    def __init__(
        self,
        source: Any,
        items: Items,
        *,
        whole_run: bool | None,
        strict: bool,
        note: Callable[[str], object] | None,
    ) -> None:
        super().__init__(strict=strict, note=note)
        self._source, self._items = source, items
        self._whole_run = depends_on_epochs_before(source) if whole_run is None else whole_run
        self._epochs_read = 0
        self._stored = True
        self._begin: Any = None
        self._before: Any = None
        self._restored = False
        has_states = (
            restores_itself(source) or is_a(source, "grain", "IterDataset") or is_a(source, "grain", "DataLoader")
        )
        self.resumes = "state" if has_states else "replay"

    def __len__(self) -> int:
        if not hasattr(self._source, "__len__"):
            raise TypeError("nobody knows the number of batches of this source before the end of an epoch")
        number, size = len(self._source), self._items.size or 1
        return number // size if self._items.drop_remainder else -(-number // size)

    def identity(self) -> dict[str, Any]:
        """What decides the order, as far as it is known."""
        return {"batch_size": self._items.size, "drop_remainder": self._items.drop_remainder, "seed": self._items.seed}

    def state(self, *, epoch_done: bool = False) -> dict[str, Any]:
        """The position, with the states of the source: at the beginning of the epoch, and before the last batch."""
        epoch, index, found = self._last
        reached = {"epoch": epoch, "index": index, "check": found, "begin": self._begin, "before": self._before}
        return {**super().state(epoch_done=epoch_done), "source": reached}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at this position."""
        super().restore(state)
        try:
            found = state["source"]
            self._begin, self._before = found["begin"], found["before"]
            self._last = (found["epoch"], found["index"], found["check"])
        except (TypeError, KeyError) as error:
            raise ProgramError("restore: the state is of a data set with indices, and this source has none") from error
        self._restored = True

    def _made(self, epoch: int, start: int, expected: int | None) -> Generator[Any, None, None]:
        restored, self._restored = self._restored, False
        if start:
            at_last = restored and self._last[:2] == (epoch, start)
            states = (self._begin, self._before) if at_last else (None, None)
            reading = self._resumed(epoch, start, expected, *states)
        elif (
            restored and self._last[0] == epoch - 1 and self._last[1] and (self._whole_run or self._before is not None)
        ):
            # The source has to be where it is at the end of the epoch before: this one may depend on it.
            self._to_end(self._resumed(*self._last, self._begin, self._before))
            reading = self._read(epoch, 0)
        else:
            reading = self._fresh(epoch)
        try:
            yield from self._batches(reading, epoch, start)
        finally:
            reading.close()

    def _batches(self, reading: Reading, epoch: int, start: int) -> Generator[Any, None, None]:
        index, begin = start, self._begin
        while True:
            state = self._state_of(reading)
            group = reading.next_group()
            if not self._items.complete(group):
                self._epochs_read = epoch + 1
                return
            self._begin = begin = begin if index else state
            self._before = state
            yield self._items.batch(group, epoch, index)
            index += 1

    def _state_of(self, reading: Reading) -> Any:
        if not reading.has_states or not self._stored:
            return None
        self.resumes = "state"
        try:
            return reading.state()
        except ProgramError as error:
            self._stored, self.resumes = False, "replay"
            self._tell(f"data: {error}: after a restart, the batches before the position are read again")
            return None

    def _read(self, epoch: int, group: int, state: Any = None) -> Reading:
        return Reading(self._source, epoch, self._items.seed, group=group, size=self._items.size or 1, state=state)

    def _fresh(self, epoch: int) -> Reading:
        """The beginning of an epoch, after the epochs before it were read, if it may depend on them."""
        for past in range(self._epochs_read, epoch if self._whole_run else 0):
            self._to_end(self._read(past, 0))
            self._epochs_read = past + 1
        return self._read(epoch, 0)

    def _to_end(self, reading: Reading) -> None:
        while reading.next_group():
            pass
        reading.close()

    def _resumed(self, epoch: int, index: int, expected: int | None, begin: Any, before: Any) -> Reading:
        """The source behind the batch `index - 1` of the epoch: by its state if that is exact, else it is read again."""
        why = ""
        if before is not None:
            reading = self._read(epoch, index - 1, before)
            batch = self._one(reading, epoch, index - 1)
            if expected is None or checksum(batch) == expected:
                return reading
            reading.close()
            why = ", because the state of the source loses samples, such as those in a buffer that shuffles"
        begun = time.monotonic()
        reading = self._fresh(epoch) if begin is None else self._read(epoch, 0, begin)
        for _ in range(index - 1):
            reading.next_group()
        batch = self._one(reading, epoch, index - 1)
        seconds = time.monotonic() - begun
        earlier = f" and the {epoch} before it" if self._whole_run and epoch and begin is None else ""
        self._tell(f"data: {seconds:.1f} s to read {index} batches of epoch {epoch}{earlier} again{why}")
        self._compare(batch, expected, DIFFERS)
        return reading

    def _one(self, reading: Reading, epoch: int, index: int) -> Any:
        group = reading.next_group()
        return self._items.batch(group, epoch, index) if group else None
