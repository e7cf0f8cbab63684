"""The name of the command `baton` in messages."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def command_name() -> str:
    """`baton` if it is on the PATH, otherwise its relative path."""
    if shutil.which("baton"):
        return "baton"
    script = Path(sys.executable).with_name("baton")
    return os.path.relpath(script) if script.exists() else "baton"
