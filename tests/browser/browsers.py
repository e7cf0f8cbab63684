"""The browser that the tests drive."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/browser.sh"


@cache
def find_browser() -> str:
    """The path of the browser. Raises RuntimeError with a hint if there is none."""
    done = subprocess.run(["/bin/sh", str(SCRIPT)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()
