"""One child process of `baton up`: start, restart delay, stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from baton.system import parent_death

PARENT_DEATH = Path(parent_death.__file__)
FIRST_DELAY, LONGEST_DELAY, STEADY = 0.2, 30.0, 10.0


@dataclass(frozen=True)
class ChildSpec:
    """The program to run. `grace`: seconds between the request to stop and the kill."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    grace: float = 10.0


class Child:
    """A process in its own session: Ctrl-C in the terminal does not reach it, and its process group can be killed."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0
        self._log_begins = 0

    def start(self, now: float) -> int:
        """Starts it and returns its process id. The calling thread must outlive the child: the kernel kills the child
        when this thread ends.
        """
        tied = (sys.executable, "-I", str(PARENT_DEATH), str(os.getpid()))
        with self.spec.log.open("ab") as log:
            self._log_begins = log.tell()
            self.process = subprocess.Popen(
                [*tied, *self.spec.command],
                env=dict(self.spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started = now
        return self.process.pid

    @property
    def ended(self) -> int | None:
        """The exit status. None while it runs."""
        return None if self.process is None else self.process.poll()

    def delay(self, now: float) -> float:
        """Seconds until the next start. Doubled if the process ran for less than STEADY seconds."""
        self._failures = 0 if now - self._started > STEADY else self._failures + 1
        return float(min(FIRST_DELAY * 2 ** max(self._failures - 1, 0), LONGEST_DELAY))

    def ask_to_stop(self) -> None:
        """Sends SIGTERM to the process only, which then stops its own children."""
        if self.process is not None and self.ended is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL to the process group, even if the process itself has ended."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def output(self, most: int = 2**20) -> str:
        """What the process has written since its last start, at most the first `most` bytes."""
        try:
            with self.spec.log.open("rb") as log:
                log.seek(self._log_begins)
                return log.read(most).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_words(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.spec.log.read_text(errors="replace") if self.spec.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def describe_end(status: int) -> str:
    """How a process ended, as text for users."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
