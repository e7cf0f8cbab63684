"""What a process of a drill sees: one line of JSON for each event, appended so that a kill loses none."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

_LIVE_SECONDS = 0.1
_PACKAGES = ("numpy", "torch", "jax", "tensorflow", "keras", "sklearn", "flax", "optax", "cupy")


class Trace:
    """Appends events to a file. A second file, with `.live` added to its name, has the present counts."""

    def __init__(self, file: Path) -> None:
        self._out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._live = os.open(f"{file}.live", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._told_at = 0.0

    def write(self, kind: str, **content: Any) -> None:
        """Appends one event."""
        os.write(self._out, (json.dumps({"kind": kind, **content}) + "\n").encode())

    def live(self, counts: dict[str, int], step: int | None) -> None:
        """Tells how far the run is, ten times a second at most."""
        now = time.monotonic()
        if now - self._told_at >= _LIVE_SECONDS:
            self._told_at = now
            os.pwrite(self._live, json.dumps({**counts, "step": step}).ljust(120).encode() + b"\n", 0)


def versions() -> dict[str, str]:
    """The versions of the interpreter and of the frameworks that the program has loaded."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "executable": sys.executable}
    for name in _PACKAGES:
        if (version := getattr(sys.modules.get(name), "__version__", None)) is not None:
            found[name] = str(version)
    return found
