"""The calls of `fit` of one run: a program may train in several ones, such as first the head and then all layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import keras

from baton.adapters.state_files import read_tree
from baton.program.backend import Saved
from baton.program.errors import ProgramError
from baton.program.run import Run

NAME = "keras"
"""The name of the files of a save, and of its part of the cursor."""


@dataclass
class Fits:
    """What the calls of `fit` have in common.

    `saved`: the save from which the run continues, until the call that made it. `begun`: calls so far. `steps`, `row`:
    steps and the number of the last row after the calls so far. `histories`: of the calls so far.
    """

    saved: Saved | None
    begun: int = 0
    steps: int = 0
    row: int | None = None
    histories: list[dict[str, Any]] = field(default_factory=list)
    state: Any = None

    def next(self) -> int:
        """The number of the call that begins now, from 0."""
        self.begun += 1
        return self.begun - 1

    @property
    def saved_call(self) -> int:
        """The number of the call that made the save; -1 if there is no save that is still needed."""
        return -1 if self.saved is None else int(self.saved.cursor[NAME]["fit"])

    def begin(self, call: int, initial_epoch: int) -> tuple[dict[str, Any] | None, int]:
        """The cursor of the save if this call made it, and what to add to the number of an epoch for its row."""
        if self.saved is None or call != self.saved_call:
            return None, 0 if self.row is None else self.row - initial_epoch
        cursor = self.saved.cursor[NAME]
        self.steps, row = cursor["offsets"]
        self.histories = self.saved_state()["histories"]
        return cursor, row

    def saved_state(self) -> Any:
        """The tree of the save."""
        assert self.saved is not None
        if self.state is None:
            self.state = read_tree(self.saved.folder, NAME)
        return self.state


_known: WeakKeyDictionary[Run, Fits] = WeakKeyDictionary()


def fits_of(run: Run) -> Fits:
    """The calls of `fit` of this run.

    Raises:
        ProgramError: the save of the run was not made by `fit`.
    """
    if run not in _known:
        saved = run.restore()
        if saved is not None and NAME not in saved.cursor:
            raise ProgramError(
                f"the save at step {saved.step} was not made by baton.keras.fit: begin a new run; without a worker, "
                "delete the folder of the run"
            )
        _known[run] = Fits(saved)
    return _known[run]


def skipped(model: Any, history: dict[str, Any]) -> Any:
    """The History of a call that had ended when the save was made."""
    found = keras.callbacks.History()
    found.set_model(model)
    found.history, found.epoch = history["history"], history["epoch"]
    model.history = found
    return found
