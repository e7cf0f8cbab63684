"""A second warm process, for the attempts of programs."""

from __future__ import annotations

from worker.log_shipping.shipper import Logs
from worker.supervisor.process import TrainingProcess


class ProgramSpare:
    """Keeps a process for programs warm beside the one that trains classifiers.

    Nobody renews the lease between the claim of the one and that of the other, so the other must not start only then.
    It takes some 50 MB of memory. `module`: the module that it runs; None: this worker needs no such process.
    """

    def __init__(self, module: str | None, logs: Logs) -> None:
        self._module, self._logs = module, logs
        self._process: TrainingProcess | None = None

    def warm_up(self) -> None:
        """Starts the process if it does not run."""
        if self._module is not None and (self._process is None or not self._process.alive):
            self.close()
            self._process = TrainingProcess(self._module, self._logs.new())

    def take(self) -> TrainingProcess | None:
        """The process, which the caller must close. None if this worker needs no such process."""
        self.warm_up()
        taken, self._process = self._process, None
        return taken

    def close(self) -> None:
        """Kills the process."""
        if self._process is not None:
            self._process.close()
            self._process = None
