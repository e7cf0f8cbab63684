"""The loop of `baton.torch` and `baton.jax`: positions, saves, stops and rows. A subclass knows what the state is."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

from baton.adapters.batch_source import BatchSource, batches_per_epoch
from baton.adapters.position import EPOCHS, STEPS, Position
from baton.adapters.state_files import read_tree, write_tree
from baton.program.checks import count
from baton.program.errors import ProgramError
from baton.program.run import Run

NAME = "state"
"""Of the two files in a save."""
log = logging.getLogger(__name__)
_TRACKED: WeakSet[Run] = WeakSet()
"""The runs that have a training."""


class Step(NamedTuple):
    """What `Training.loop` yields. `epoch` and `step` count from 0; `step` counts over all epochs."""

    epoch: int
    step: int
    batch: Any


class Training(ABC):
    """A training whose state is saved and restored. `track` makes it.

    Its loops save when a save is due, and raise `baton.Stopped` when the run must stop. The body of a loop is one step;
    a save is always made between two steps. A script may have several loops, one after the other. When it continues,
    the loops that were done before the save yield nothing.

    `step`: steps done since the beginning of the run; in the body of a loop, the number of this step, from 0.
    `epoch`: the number of this epoch in this loop, from 0. `batch`: the number of this batch in this epoch, from 0.
    """

    def __init__(self, run: Run) -> None:
        if run in _TRACKED:
            raise ProgramError("track: it was called before for this run. Pass all objects in one call")
        self._run = run
        self._offset = self._next_offset = 0
        self._phase = -1
        self._loop = ""
        self._epochs = self._length = 0
        self._in_epoch = self._in_step = False
        self._metrics: dict[str, float] = {}
        self._source: BatchSource | None = None
        self._sources: list[tuple[Any, BatchSource]] = []
        self._data: Any = None
        self.step = self.epoch = self.batch = 0
        self._resumes_at: Position | None = None
        self._saved: Any = None
        if saved := run.restore():
            self._resumes_at = Position.of(saved.cursor)
            self._saved = read_tree(saved.folder, NAME)
            self.step = saved.step

    def _begin(self) -> None:
        """To be called by a subclass when its objects are there: sets their state, or checks that it can be saved."""
        if self._saved is not None:
            self._set(self._saved["state"], verify=True)
        else:
            self._copied()
        _TRACKED.add(self._run)

    @abstractmethod
    def _copied(self) -> Any:
        """The state as a tree for `write_tree`. It has copies only, so that the training may continue.

        Raises:
            ProgramError: a save cannot hold something of it. The message names the place.
        """

    @abstractmethod
    def _set(self, tree: Any, *, verify: bool) -> None:
        """Set the state. `verify`: compare it with the tree afterwards.

        Raises:
            ProgramError: it does not fit. The message names the first difference.
        """

    @abstractmethod
    def _source_of(self, loader: Any) -> BatchSource:
        """The loader as a source of batches.

        Raises:
            ProgramError: it is of a kind that cannot be resumed.
        """

    def _begin_step(self) -> None:  # noqa: B027
        """Called before the body of each step."""

    def epochs(self, number: int) -> Generator[int, None, None]:
        """The epochs from the current one to `number`, to be used as `for epoch in training.epochs(10):`.

        The body has a loop over `batches`, and what is done once an epoch before or after it.

        Raises:
            ProgramError: `number` is not a whole number of at least 0, or another loop is open.
            Stopped: the run must stop, and it is saved.
        """
        self._enter(EPOCHS, count(number, "epochs"))
        place = self._reached()
        if place is None:
            return
        for self.epoch in range(place.epoch, number):
            self.batch = place.batch if self.epoch == place.epoch else 0
            self._in_epoch, self._source = True, None
            yield self.epoch
            if self._saved is not None:
                raise ProgramError(
                    f"the save is inside epoch {self.epoch}: in the body of epochs(), iterate training.batches(loader)"
                )
            self._end_step()  # after a `break` in the loop over the batches
            self._in_epoch = False
            self._between_steps(last=self.epoch + 1 == number)

    def batches(self, loader: Any) -> Generator[Any, None, None]:
        """The batches of this epoch that are left, to be used as `for batch in training.batches(loader):`.

        Raises:
            ProgramError: it is not inside `epochs`, the loader cannot be resumed, or it has other data than at the
                save.
            Stopped: the run must stop, and it is saved.
        """
        if not self._in_epoch or self._source is not None:
            raise ProgramError("batches: call it once in the body of `for epoch in training.epochs(...)`")
        self._source = source = self._known_source(loader)
        self._restore_inside(source)
        self._length = batches_per_epoch(source) or 0
        batches = source.epoch(self._offset + self.epoch, self.batch)
        try:
            for batch in batches:
                self._in_step = True
                self._begin_step()
                yield batch
                self._end_step()
                self._between_steps()
        finally:
            batches.close()

    def loop(self, loader: Any, *, epochs: int) -> Generator[Step, None, None]:
        """Both loops in one: `for epoch, step, batch in training.loop(loader, epochs=10):`.

        What is done once an epoch belongs into the body of its last batch: `if training.ends_epoch:`.

        Raises:
            ProgramError: as `epochs` and `batches`.
            Stopped: the run must stop, and it is saved.
        """
        for epoch in self.epochs(epochs):
            for batch in self.batches(loader):
                yield Step(epoch, self.step, batch)

    def steps(self, total: int) -> Generator[int, None, None]:
        """Steps without epochs: the numbers from the current one to `total - 1`. The data is a function of the number.

        Raises:
            ProgramError: `total` is not a whole number of at least 0, or another loop is open.
            Stopped: the run must stop, and it is saved.
        """
        self._enter(STEPS, count(total, "total"))
        place = self._reached()
        if place is None:
            return
        self.epoch, self._length = 0, total
        for self.batch in range(place.batch, total):
            self._in_step = True
            self._begin_step()
            yield self.batch
            self._end_step()
            self._between_steps(last=self.batch == total)

    @property
    def ends_epoch(self) -> bool:
        """Whether this batch is the last one of its epoch.

        Raises:
            ProgramError: the loader does not know how many batches it has.
        """
        if not self._length:
            raise ProgramError("ends_epoch: the loader has no length; use epochs() and batches() instead of loop()")
        return self.batch + (not self._in_step) >= self._length

    def log(self, metrics: Mapping[str, Any]) -> None:
        """`run.log` at this step."""
        self._run.log(_detached(metrics), step=self.step if self._in_step else max(0, self.step - 1))

    def row(self, metrics: Mapping[str, Any]) -> None:
        """Adds the row of this epoch to the history: `run.epoch`. They are the metrics of the next save, too.

        Raises:
            ProgramError: as `run.epoch`, or the loop has no epochs.
        """
        if self._loop != EPOCHS:
            raise ProgramError("row: the loop has no epochs; use run.epoch(metrics, epoch=..., step=...)")
        found = _detached(metrics)
        self._run.epoch(found, epoch=self._offset + self.epoch + 1, step=self.step + self._in_step)
        self._metrics = {name: float(value) for name, value in found.items()}

    def _enter(self, loop: str, number: int) -> None:
        self._phase += 1
        self._loop, self._in_epoch, self._in_step = loop, False, False
        self._offset = self._next_offset
        if loop == EPOCHS:
            self._next_offset += number
        self._epochs = number

    def _reached(self) -> Position | None:
        """Where this loop begins. None: the save was made in a later loop."""
        place = self._resumes_at
        if place is None or self._phase > place.phase:
            self._saved = self._data = None
            return Position(self._loop, self._phase)
        if self._phase < place.phase:
            return None
        if place.loop != self._loop:
            raise ProgramError(
                f"the save was made in {place.loop}(...), and loop {self._phase + 1} of the script is now "
                f"{self._loop}(...). Run the script that made the save, or begin a new run"
            )
        # The program may have changed the objects, and drawn random numbers, since `track`.
        self._set(self._saved["state"], verify=False)
        self._data = self._saved["data"]
        if self._loop == STEPS or place.batch == 0:
            self._saved = None
        return place

    def _restore_inside(self, source: BatchSource) -> None:
        """Check that the data is that of the save, and continue in the middle of an epoch if it was made there."""
        inside, self._saved = self._saved, None
        data, self._data = self._data, None
        if data is not None:
            try:
                source.restore(data)
            except ProgramError as error:
                if inside is not None or getattr(source, "strict", False):
                    raise
                self._tell_of_other_data(error)
        if inside is not None:
            self._set(inside["state"], verify=False)  # what an epoch begins with must not be done again

    def _tell_of_other_data(self, error: ProgramError) -> None:
        # Not an error: a script may use other data from an epoch on, and the position is the beginning of that epoch.
        text = (
            f"epoch {self.epoch} begins with other data than the save at the end of the epoch before: {error}. The "
            "training goes on with it. That is the same as without an interruption only if the script changes its data "
            "at this epoch"
        )
        log.warning("%s", text)
        self._run.note(text)

    def _known_source(self, loader: Any) -> BatchSource:
        for known, source in self._sources:
            if known is loader:
                return source
        source = loader if isinstance(loader, BatchSource) else self._source_of(loader)
        if source.note is None:
            source.note = self._run.note
        self._sources.append((loader, source))
        return source

    def _end_step(self) -> None:
        if self._in_step:
            self._in_step = False
            self.step += 1
            self.batch += 1

    def _between_steps(self, *, last: bool = False) -> None:
        """Save if it is due, and stop if the run must. `last`: the loop is done."""
        if self._loop == STEPS:
            self._run.progress(step=self.step, total=self._length)
        else:
            self._run.progress(step=self.step, epoch=self.epoch + 1, epochs=self._epochs)
        if self._run.save_due() or last:
            self._save()
        self._run.check()
        self._metrics = {}

    def _save(self) -> None:
        began = time.monotonic()
        done = self._loop == EPOCHS and not self._in_epoch
        epoch, batch = (self.epoch + 1, 0) if done else (self.epoch, self.batch)
        data = None
        if self._source is not None:
            data = self._source.state()
            if done:
                data = {**data, "epoch": self._offset + epoch, "index": 0}
        tree = {"state": self._copied(), "data": data}
        self._run.save_in_background(
            step=self.step,
            epoch=self._offset + epoch,
            cursor=Position(self._loop, self._phase, epoch, batch).cursor(),
            metrics=self._metrics,
            write=partial(_write, tree=tree),
            waited=time.monotonic() - began,
        )


def _detached(metrics: Mapping[str, Any]) -> dict[str, Any]:
    # PyTorch warns if a tensor that requires a gradient becomes a number.
    return {name: value.detach() if hasattr(value, "detach") else value for name, value in metrics.items()}


def _write(folder: Path, tree: Any) -> None:
    write_tree(folder, NAME, tree)
