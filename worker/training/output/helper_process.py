"""Runs a module of Baton in a separate process while training continues. The helper ends with this process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

REAP_SECONDS = 0.1
"""How long to wait for a killed process. If the kernel cannot end it in time, the thread continues without it."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line. The module gets the process id of this process as its first argument."""
    return [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments]


def environment() -> Mapping[str, str]:
    """The environment variables: the same module path as here, and one thread, because training needs the cores."""
    path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def last_line(errors: bytes) -> str:
    """The last line of what the process wrote to its standard error."""
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""


class Helper:
    """One helper process. One thread runs it; any other thread may cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.cancelled = False

    def run(self, module: str, *arguments: str, seconds: float) -> bytes:
        """The output of the process.

        Raises:
            RuntimeError: it failed, or was cancelled. subprocess.TimeoutExpired: it took longer than `seconds`.
        """
        with self._lock:
            if self.cancelled:
                raise RuntimeError("cancelled")
            self._process = process = subprocess.Popen(
                command(module, *arguments),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        try:
            printed, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=REAP_SECONDS)
            raise
        if process.returncode:
            raise RuntimeError(last_line(errors) or f"it ended with exit status {process.returncode}")
        return printed

    def cancel(self) -> None:
        """Kills the process, or prevents its start."""
        with self._lock:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()
