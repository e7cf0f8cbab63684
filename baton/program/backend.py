"""What a run stands on: a worker, or a local folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Point = tuple[str, int, float, float]
"""Name, step, value, unix seconds."""


@dataclass(frozen=True)
class Saved:
    """A save from which the run continues.

    `step`: steps finished. `epoch` and `cursor`: as they were given to `save`; the cursor went through JSON, so tuples
    are lists. `folder`: the files of the save; only read them.
    """

    step: int
    epoch: int
    cursor: dict[str, Any]
    folder: Path
    last_epoch: int | None = None
    """The epoch of the last history row that belongs to the save."""


@dataclass(frozen=True)
class SaveRequest:
    """What `save` was called with."""

    step: int
    epoch: int
    cursor: dict[str, Any]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Mark:
    """The points and rows that belong to a save: all that were recorded before it.

    `points`: the size of the series at that moment, in a unit of the backend. `last_epoch`: of the last row.
    """

    points: int | None
    last_epoch: int | None
    extra: dict[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """Where the state of a run is kept. Calls may come from several threads."""

    job: str | None
    attempt: int
    params: dict[str, Any]
    saved: Saved | None

    def data(self, name: str) -> Path:
        """The folder or file of a data set. Raises ProgramError if it is unknown."""

    def log(self, points: list[Point]) -> None:
        """Records points. Returns at once."""

    def epoch(self, epoch: int, step: int, metrics: dict[str, float]) -> None:
        """Records a row of the history."""

    def new_folder(self) -> Path:
        """An empty folder for the files of a save."""

    def mark(self) -> Mark:
        """What belongs to a save at this moment."""

    def commit(self, folder: Path, save: SaveRequest, mark: Mark, stall: float) -> None:
        """Makes the save durable as a whole, or raises and leaves the previous ones as they were.

        `stall`: seconds for which the save has stopped the training so far.
        """

    def publish(self, name: str, path: Path) -> None:
        """Keeps a copy of the file under this name."""

    def progress(self, step: int | None, total: int | None, epoch: int | None, epochs: int | None) -> None:
        """Shows how far the run is."""

    def note(self, text: str) -> None:
        """Records a line of text."""

    def stopped(self, step: int | None) -> None:
        """The program is told to stop now."""

    def close(self) -> None:
        """Writes or sends what is buffered."""

    def abandon(self) -> None:
        """Called in a process that was forked: lets go of what the parent continues to use."""
