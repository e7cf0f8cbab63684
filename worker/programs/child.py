"""The program as a child of this process, below its guard (worker.programs.guard)."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from baton.program import protocol
from worker.programs import guard
from worker.programs.guard import KILL, TERMINATE

GUARD = "worker.programs.guard"
ROOTS = tuple(dict.fromkeys(str(Path(str(module.__file__)).resolve().parents[2]) for module in (guard, protocol)))
"""The folders of the packages that the guard imports."""
CLOSE_SECONDS = 15.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """How a program ended. `status`: as subprocess.Popen.returncode; None: it was killed with its guard.

    `left`: the number of processes that it left behind; they were killed. `error`: why it could not be started.
    """

    status: int | None = None
    left: int = 0
    error: str = ""


class ProgramProcess:
    """A running program. Its output is that of this process. When this process ends, the guard kills the program."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._report, writing = os.pipe()
        self._guard = subprocess.Popen(
            [sys.executable, "-S", "-m", GUARD, str(writing)],
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
            env={"PYTHONPATH": os.pathsep.join(ROOTS), "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        os.close(writing)
        self.terminated = self.killed = False
        self._ended: Ended | None = None
        self._send(json.dumps({"command": list(command), "folder": str(folder), "environment": dict(environment)}))

    def wait(self, seconds: float) -> Ended | None:
        """How the program ended; None if it still runs after `seconds`."""
        if self._ended is None and select.select([self._report], [], [], seconds)[0]:
            text = b""
            while more := os.read(self._report, 4096):
                text += more
            self._ended = Ended(**json.loads(text)) if text else Ended()
        return self._ended

    def terminate(self) -> None:
        """Sends SIGTERM to the process group of the program, once."""
        if not self.terminated:
            self.terminated = True
            self._send(TERMINATE)

    def kill(self) -> None:
        """Makes the guard kill the program and all that it started."""
        if not self.killed:
            self.killed = True
            self._send(KILL)

    def close(self) -> None:
        """Kills the program if it still runs, and waits for the end of its guard."""
        self.kill()
        with suppress(OSError):
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        try:
            self._guard.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("a process of the program does not end although it was killed: it waits in the kernel")
            self._guard.kill()
        os.close(self._report)

    def _send(self, line: str) -> None:
        assert self._guard.stdin is not None
        with suppress(BrokenPipeError):  # it has ended
            self._guard.stdin.write(line.encode() + b"\n")
            self._guard.stdin.flush()
