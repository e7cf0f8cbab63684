"""Jobs that run the programs of tests/support/programs."""

from __future__ import annotations

import sys
from typing import Any

from tests.support.service import ROOT

PROGRAMS = ROOT / "tests" / "support" / "programs"


def program(script: str, *arguments: str, name: str = "program", **changes: Any) -> dict[str, Any]:
    """A job that runs this script. `changes` replace fields of the spec."""
    return {
        "name": name,
        "program": {"command": [sys.executable, str(PROGRAMS / script), *arguments]},
        "checkpoint": {"every": "5 steps"},
        "retry": {"backoff": "1s"},
        **changes,
    }
