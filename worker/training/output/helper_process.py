"""How to run a module of Baton beside the training: one process of low priority, which ends with this one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

REAP_SECONDS = 0.1
"""How long a killed process is waited for. The kernel may not let it go: the thread ends without it."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line. The module gets the process id of this process as its first argument."""
    return [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments]


def environment() -> Mapping[str, str]:
    """The variables: the same modules as here, and one thread, because the training has the cores."""
    path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def last_line(said: bytes) -> str:
    """The last line of what the process wrote to its standard error."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""


class Helper:
    """One such process. One thread runs it, and any other may give it up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.given_up = False

    def run(self, module: str, *arguments: str, seconds: float) -> bytes:
        """What the process printed.

        Raises:
            RuntimeError: it failed, or was given up. subprocess.TimeoutExpired: it took longer than `seconds`.
        """
        with self._lock:
            if self.given_up:
                raise RuntimeError("given up")
            self._process = process = subprocess.Popen(
                command(module, *arguments),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        try:
            printed, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=REAP_SECONDS)
            raise
        if process.returncode:
            raise RuntimeError(last_line(said) or f"it ended with {process.returncode}")
        return printed

    def give_up(self) -> None:
        """Kills it, or keeps it from being started."""
        with self._lock:
            self.given_up = True
            if self._process is not None:
                self._process.kill()
