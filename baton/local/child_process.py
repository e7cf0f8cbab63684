"""One child process that is kept running."""

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

LIFELINE = Path(parent_death.__file__)
FIRST_DELAY, LONGEST_DELAY, STEADY = 0.2, 30.0, 10.0


@dataclass(frozen=True)
class ChildSpec:
    """What to run. `grace`: seconds between the request to stop and the kill."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    grace: float = 10.0


class Child:
    """A process in a session of its own: a Ctrl-C in the terminal does not reach it, a kill of its group only it."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0

    def start(self, now: float) -> int:
        """Starts it and returns its process id. Call it from a thread that outlives the child: the kernel ties them."""
        lifeline = (sys.executable, "-I", str(LIFELINE), str(os.getpid()))
        with self.spec.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*lifeline, *self.spec.command],
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
        """The exit status, None while it runs."""
        return None if self.process is None else self.process.poll()

    def delay(self, now: float) -> float:
        """Seconds until it should be started again; each early death doubles them."""
        self._failures = 0 if now - self._started > STEADY else self._failures + 1
        return float(min(FIRST_DELAY * 2 ** max(self._failures - 1, 0), LONGEST_DELAY))

    def ask_to_stop(self) -> None:
        """SIGTERM to the process itself: it knows how to stop what it started."""
        if self.process is not None and self.ended is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the whole group, whatever is left of it."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        text = self.spec.log.read_text(errors="replace") if self.spec.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def describe_end(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
