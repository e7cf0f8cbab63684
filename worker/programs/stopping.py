"""When a program that was told to stop gets SIGTERM, and when it is killed. Pure: times are passed in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.attempt.protocols import Stop

CANCEL_SECONDS = (2.0, 5.0)
"""SIGTERM and SIGKILL this long after a cancellation. The supervisor kills everything after 10 s."""
SAVED_SECONDS = (5.0, 10.0)
"""SIGTERM and SIGKILL this long after the program has saved for the stop: it has nothing left to do."""
TERM_SHARE = 0.7
"""Without a save: SIGTERM after this share of the time that the program has."""
DETACHED_SECONDS = (0.0, 10.0)
"""SIGTERM and SIGKILL for a program without `baton.init()`, which gets no message."""
KILL_AFTER_TERM = 10.0


class Signal(StrEnum):
    """What is due."""

    TERMINATE = "terminate"
    KILL = "kill"


@dataclass(frozen=True)
class Stopping:
    """A stop that is under way. `since`: when the program was told. `left`: seconds that it had then; None: no limit.

    `patience`: seconds after which a program that does not stop counts as stalled.
    """

    stop: Stop
    since: float
    left: float | None
    patience: float

    def due(self, now: float, *, attached: bool, saved_at: float | None) -> Signal | None:
        """The signal that is due. `saved_at`: when the program saved after it was told; None: it has not."""
        term, kill = self._limits(attached=attached)
        if self.stop is not Stop.CANCELLED and saved_at is not None:
            term, kill = (min(one, saved_at + more) for one, more in zip((term, kill), SAVED_SECONDS, strict=True))
        if now >= kill:
            return Signal.KILL
        return Signal.TERMINATE if now >= term else None

    def _limits(self, *, attached: bool) -> tuple[float, float]:
        if self.stop is Stop.CANCELLED:
            term, kill = CANCEL_SECONDS
        elif not attached:
            term, kill = DETACHED_SECONDS
            kill = kill if self.left is None else min(kill, self.left)
        elif self.left is None:
            term, kill = self.patience, self.patience + KILL_AFTER_TERM
        else:
            term, kill = TERM_SHARE * self.left, self.left
        return self.since + term, self.since + kill
