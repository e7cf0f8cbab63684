"""The calls of `fit` of one run: a program may train in several ones, such as first the head and then all layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from baton.adapters.state_files import read_tree, write_tree
from baton.program.backend import Saved
from baton.program.errors import ProgramError
from baton.program.run import Run

NAME = "keras"
"""The name of the files of a save, and of its part of the cursor."""


@dataclass
class Call:
    """A call of `fit` that begins. `number`: from 0. `row`: what to add to the number of an epoch for its row.

    `cursor`, `tree`: where it continues, and the state there, until it is restored; None if it begins. `ended`: it had
    ended before the save, and they are of its end.
    """

    number: int
    row: int
    cursor: dict[str, Any] | None = None
    tree: dict[str, Any] | None = None
    ended: bool = False


@dataclass
class Fits:
    """What the calls of `fit` have in common.

    `saved`: the save from which the run continues, until the call that made it. `begun`: calls so far. `steps`, `row`:
    steps and the number of the last row after the calls so far. `ended`: the states at the ends of the calls so far.
    Each save has them, so that after a restart the program sees what these calls left.
    """

    saved: Saved | None
    begun: int = 0
    steps: int = 0
    row: int | None = None
    ended: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, initial_epoch: int) -> Call:
        """The call that begins now."""
        number = self.begun
        self.begun += 1
        if self.saved is None:
            return Call(number, 0 if self.row is None else self.row - initial_epoch)
        saved, ended = self.saved, number < int(self.saved.cursor[NAME]["fit"])
        if ended:
            tree = read_tree(saved.folder, _of_ended(number))
            cursor = tree["cursor"]
        else:
            tree, cursor, self.saved = read_tree(saved.folder, NAME), saved.cursor[NAME], None
        self.steps, row = cursor["offsets"]
        return Call(number, row, cursor, tree, ended)

    def end(self, tree: dict[str, Any], steps: int, row: int) -> None:
        """A call has ended. `tree`: its state, with its cursor."""
        self.ended = [*self.ended, tree]
        self.steps, self.row = steps, row


def write_state(folder: Path, tree: dict[str, Any], ended: list[dict[str, Any]]) -> None:
    """Write the files of a save: the state of the call that goes on, and those of the calls that have ended."""
    write_tree(folder, NAME, tree)
    for number, one in enumerate(ended):
        write_tree(folder, _of_ended(number), one)


def _of_ended(number: int) -> str:
    return f"{NAME}-call-{number + 1}"


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
