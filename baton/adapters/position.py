"""Where a training is: in which of its loops, in which epoch, and before which batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from baton.program.errors import ProgramError

EPOCHS, STEPS = "epochs", "steps"


@dataclass(frozen=True)
class Position:
    """A position between two steps. `loop`: EPOCHS or STEPS. `phase`: the number of the loop in the script, from 0.

    `batch`: batches of the epoch that are done; without epochs, the steps of this loop that are done.
    """

    loop: str
    phase: int
    epoch: int = 0
    batch: int = 0

    def cursor(self) -> dict[str, Any]:
        """The cursor of a save.

        >>> Position.of(Position(EPOCHS, 0, 3, 14).cursor())
        Position(loop='epochs', phase=0, epoch=3, batch=14)
        """
        return asdict(self)

    @classmethod
    def of(cls, cursor: dict[str, Any]) -> Position:
        """The position in the cursor of a save.

        Raises:
            ProgramError: something else made the save.
        """
        try:
            return cls(**cursor)
        except TypeError:
            raise ProgramError(
                "the save was not made by this version of baton.torch or baton.jax. Run the script that made it, or "
                "begin a new run"
            ) from None
