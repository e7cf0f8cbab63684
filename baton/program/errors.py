"""What a training program can see from its run: errors, and the request to stop."""

from __future__ import annotations

from typing import ClassVar

from baton.domain.errors import BatonError
from baton.program.protocol import EXIT_STOPPED


class ProgramError(BatonError):
    """A call of the run was wrong, or could not be done. The message says what to do."""

    code: ClassVar[str] = "program"


class Stopped(SystemExit):
    """The run must stop now; its state is saved, unless the job was cancelled. Raised by `Run.check`.

    It is a SystemExit. If nothing catches it, the process ends with status 75 and without a traceback, and `except
    Exception` does not catch it.

    `why`: `preempted`, `paused`, `cancelled`, `max_runtime`, or `interrupted` (a signal, without a worker).
    `step`: steps finished in the last save, None without a save.
    """

    def __init__(self, why: str, step: int | None) -> None:
        self.why = why
        self.step = step
        super().__init__(EXIT_STOPPED)

    def __str__(self) -> str:
        """One sentence."""
        where = "without a save" if self.step is None else f"at step {self.step}"
        return f"the run was stopped {where}: {self.why}"
