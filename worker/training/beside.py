"""How to run a module of Baton beside the training: one process of low priority, which ends with this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


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
