"""A training state between two steps: arrays in host memory or files in a folder, and a cursor in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from baton.domain.start_from import Start
from baton.domain.wire import Position
from worker.checkpointing.saved_folder import SavedFolder

if TYPE_CHECKING:  # a process that runs a program needs no NumPy
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[Any]]"


class History(Protocol):
    """The rows of the history at the time of a snapshot."""

    def json(self) -> bytes:
        """A JSON array with an object for each row. Safe to call in any thread."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """The state on which the next step depends.

    `state`: of a classifier, its arrays by name: variables, optimizer variables, seed generators and running sums. Of a
    program, the folder with its files. `cursor`: schedule state, history, best epochs; JSON. `needs`: prefixes of
    checkpoints that the cursor refers to. `history`: written into the cursor under the key `history`; None if the
    cursor already contains it, as after a restore. `rows_from`: see Manifest. `start`: what the job takes from it, if
    it is a checkpoint of another job. `prefix`: of the checkpoint that it was read from; empty before it is saved.
    """

    position: Position
    state: Arrays | SavedFolder
    cursor: dict[str, Any]
    needs: tuple[str, ...] = ()
    taken_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    history: History | None = None
    rows_from: int | None = None
    start: Start | None = None
    prefix: str = ""

    @property
    def arrays(self) -> Arrays:
        """The arrays of a classifier. Raises TypeError for the state of a program."""
        if isinstance(self.state, SavedFolder):
            raise TypeError("the state of a program is files, not arrays")
        return self.state

    @property
    def nbytes(self) -> int:
        """Total bytes of the arrays. Raises TypeError for the state of a program."""
        return sum(int(array.nbytes) for array in self.arrays.values())
