"""Batches of a source without indices: an iterable. A position is reached by its state, or by reading again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import astuple, dataclass
from typing import Any

from baton.adapters.own_generators import own_generators, set_states, states_of
from baton.adapters.state_files import as_json, from_json
from baton.data.batches import Batches
from baton.data.making import Collate, Transform
from baton.data.reading import Reading, copied, depends_on_epochs_before, has_states, restores_itself
from baton.data.seeds import generator
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


@dataclass(frozen=True)
class Reached:
    """A place in the source: after the batch `index - 1` of the epoch.

    `check`: the checksum of that batch. `before`: the state of the source before it, None if it has none. `own`: the
    states of the source's own generators before it.
    """

    epoch: int
    index: int
    check: int | None
    before: Any
    own: Any = None


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
        # A source that has loaded a state cannot always be read from its beginning any more.
        self._untouched = copied(source) if restores_itself(source) else source
        self._whole_run = depends_on_epochs_before(source) if whole_run is None else whole_run
        self._own = own_generators(source=source).usable
        self._own_begun = self._own_before = states_of(self._own)
        self._epochs_read = 0
        self._stored = True
        self._before: Any = None
        self._end: Reached | None = None
        """The end of the epoch before that of the last batch."""
        self._restored = False
        self.resumes = "state" if has_states(source) else "replay"

    def __len__(self) -> int:
        if not hasattr(self._source, "__len__"):
            raise TypeError("the number of batches of this source is not known before the end of an epoch")
        number, size = len(self._source), self._items.size or 1
        return number // size if self._items.drop_remainder else -(-number // size)

    def identity(self) -> dict[str, Any]:
        """What decides the order, as far as it is known."""
        return {"batch_size": self._items.size, "drop_remainder": self._items.drop_remainder, "seed": self._items.seed}

    def state(self, *, epoch_done: bool = False) -> dict[str, Any]:
        """The position, with the states of the source before the last batch, and at the end of the epoch before."""
        source = {"last": astuple(self._reached()), "end": astuple(self._end) if self._end is not None else None}
        own = {"begun": self._own_begun, "now": states_of(self._own)}
        return {**super().state(epoch_done=epoch_done), "source": source, "own": as_json(own, "own")}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at this position."""
        super().restore(state)
        try:
            last, end = Reached(*state["source"]["last"]), state["source"]["end"]
            self._end = None if end is None else Reached(*end)
        except (TypeError, KeyError) as error:
            raise ProgramError("restore: the state is of a data set with indices, and this source has none") from error
        self._last, self._before = (last.epoch, last.index, last.check), last.before
        self._own_before = from_json(last.own) if last.own is not None else {}
        self._restored = True
        own = from_json(state["own"]) if "own" in state else {}
        self._own_begun = own.get("begun", self._own_begun)
        set_states(self._own, own.get("now", {}) if not state["index"] and not self._whole_run else self._own_begun)

    def _reached(self) -> Reached:
        return Reached(*self._last, self._before, as_json(self._own_before, "own"))

    def _made(self, epoch: int, start: int, expected: int | None) -> Generator[Any, None, None]:
        restored, self._restored = self._restored, False
        if start:
            known = restored and self._last[:2] == (epoch, start)
            reading = self._resumed(self._reached() if known else Reached(epoch, start, expected, None))
        else:
            reading = self._after_the_end(epoch) or self._fresh(epoch)
        try:
            yield from self._batches(reading, epoch, start)
        finally:
            reading.close()

    def _batches(self, reading: Reading, epoch: int, start: int) -> Generator[Any, None, None]:
        index = start
        while True:
            state, own = self._state_of(reading), states_of(self._own)
            group = reading.next_group()
            if not self._items.complete(group):
                self._epochs_read = epoch + 1
                return
            if index == 0:
                self._end = self._reached() if epoch else None
            self._before, self._own_before = state, own
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
            self._read_to_end(self._read(past, 0))
            self._epochs_read = past + 1
        return self._opened(epoch)

    def _opened(self, epoch: int) -> Reading:
        if not self._whole_run:
            self._own_begun = states_of(self._own)
        return self._read(epoch, 0)

    def _read_to_end(self, reading: Reading) -> None:
        while reading.next_group():
            pass
        reading.close()

    def _resumed(self, place: Reached) -> Reading:
        """The source at the place: by its state if that is exact, else by reading the epoch again."""
        reading, why = self._by_state(place), ""
        if reading is not None:
            return reading
        begun, own_begun = time.monotonic(), self._own_begun
        if place.before is not None:
            why = ", because the states of the source are not complete: they may lack a buffer that shuffles"
            reading = self._after_the_end(place.epoch)
            batch = None if reading is None else self._skipped_to(reading, place)
            if reading is not None and checksum(batch) != place.check:
                reading = None
            if reading is None:
                self._source = copied(self._untouched)
        if reading is None:
            set_states(self._own, own_begun)
            reading = self._fresh(place.epoch)
            batch = self._skipped_to(reading, place)
        seconds = time.monotonic() - begun
        earlier = f" and the {place.epoch} before it" if self._whole_run and place.epoch else ""
        batches = "1 batch" if place.index == 1 else f"{place.index} batches"
        self._tell(f"data: {seconds:.1f} s to read {batches} of epoch {place.epoch}{earlier} again{why}")
        self._compare(batch, place.check, DIFFERS)
        return reading

    def _by_state(self, place: Reached) -> Reading | None:
        """The source at the place, by its state; None if that does not give the batch before the place."""
        if place.before is None:
            return None
        set_states(self._own, from_json(place.own) if place.own is not None else {})
        reading = self._read(place.epoch, place.index - 1, place.before)
        batch = self._one(reading, place)
        if place.check is None or checksum(batch) == place.check:
            return reading
        reading.close()
        return None

    def _after_the_end(self, epoch: int) -> Reading | None:
        """The beginning of an epoch, behind the end of the epoch before, which is reached by its state.

        It is done at the end of each epoch, and not only after a restart, because sources go on in another way once
        they have loaded a state: the order of the next epochs of a StatefulDataLoader differs.
        """
        if not restores_itself(self._source):
            return None
        for place in (self._reached(), self._end):
            if place is not None and place.epoch == epoch - 1 and place.before is not None:
                reading = self._by_state(place)
                if reading is not None:
                    self._read_to_end(reading)
                    return self._opened(epoch)
                self._source = copied(self._untouched)
        return None

    def _skipped_to(self, reading: Reading, place: Reached) -> Any:
        """Read up to the place. The batch before it."""
        for _ in range(place.index - 1):
            reading.next_group()
        return self._one(reading, place)

    def _one(self, reading: Reading, place: Reached) -> Any:
        group = reading.next_group()
        return self._items.batch(group, place.epoch, place.index - 1) if group else None
