"""What a run asks of the program, and signs of life of the program. Each is read and set without a lock."""

from __future__ import annotations

import math
import time

from baton.program.protocol import CANCELLED, Stop


class Control:
    """A deadline for the next save, and perhaps a stop: other threads and signal handlers set it.

    `every`: seconds between saves; infinite if the worker says when a save is due. `calls`: number of calls of the
    program that show that it is alive. `step`: the last step that the program named.
    """

    def __init__(self, every: float = math.inf) -> None:
        self._every = every
        self._due_at = time.monotonic() + every
        self._begun_before_stop = 0
        self.stop: Stop | None = None
        self.saves_begun = 0
        self.calls = 0
        self.step: int | None = None

    def request_save(self) -> None:
        """The next `save_due` is true."""
        self._due_at = 0.0

    def request_stop(self, stop: Stop) -> None:
        """The program must save and stop. A later request replaces the reason: a job may be cancelled meanwhile."""
        if self.stop is None:
            self._begun_before_stop = self.saves_begun
        self.stop = stop

    def save_due(self) -> bool:
        """Whether the program should save at this step. After a stop: until it has begun a save; never if cancelled."""
        if (stop := self.stop) is not None and (stop.why == CANCELLED or self.saves_begun == self._begun_before_stop):
            return stop.why != CANCELLED
        return self._due_at <= time.monotonic()

    def save_begins(self) -> None:
        """A save has begun. No further one is due before it ends, unless the worker asks."""
        self.saves_begun += 1
        self._due_at = math.inf

    def save_failed(self) -> None:
        """The save that has begun is not complete. The next step should save."""
        self.saves_begun -= 1
        self._due_at = 0.0

    def save_ended(self) -> None:
        """A save is complete: the time to the next one begins."""
        if self._every < math.inf:
            self._due_at = time.monotonic() + self._every
