"""What to tell people to type."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def command_name() -> str:
    """`baton` where that is on the PATH, else the path to it from here."""
    if shutil.which("baton"):
        return "baton"
    script = Path(sys.executable).with_name("baton")
    return os.path.relpath(script) if script.exists() else "baton"
