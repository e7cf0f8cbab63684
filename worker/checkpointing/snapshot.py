"""A training state in host memory: arrays by name, and a cursor in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from baton.domain.wire import Position

Arrays = dict[str, npt.NDArray[Any]]


class History(Protocol):
    """The rows of the history at the time of a snapshot."""

    def json(self) -> bytes:
        """A JSON array with an object for each row. Safe to call in any thread."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """The state on which the next step depends.

    `arrays`: variables, optimizer variables, seed generators and running sums. `cursor`: schedule state, history, best
    epochs; JSON. `needs`: prefixes of checkpoints that the cursor refers to. `history`: written into the cursor under
    the key `history`; None if the cursor already contains it, as after a restore. `rows_from`: see Manifest.
    """

    position: Position
    arrays: Arrays
    cursor: dict[str, Any]
    needs: tuple[str, ...] = ()
    taken_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    history: History | None = None
    rows_from: int | None = None

    @property
    def nbytes(self) -> int:
        """Total bytes of the arrays."""
        return int(np.sum([array.nbytes for array in self.arrays.values()], dtype=np.int64))
