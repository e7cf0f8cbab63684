"""Drills small programs in a folder of the test, with real processes and real signals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.drill.drill import Outcome, drill
from baton.drill.options import Options
from baton.drill.process import Limits
from baton.drill.program import Program
from tests.support.service import ROOT

PROGRAMS = ROOT / "tests/support/programs/drilled"


def drilled(
    root: Path,
    script: str,
    *,
    seed: int = 0,
    kills: int = 2,
    code: Path = PROGRAMS,
    params: Mapping[str, Any] | None = None,
    ignored: tuple[str, ...] = (),
) -> Outcome:
    """The outcome of a drill. A pause is short here."""
    options = Options(seed, kills, spread=8, ignored=ignored, limits=Limits(stall=120, timeout=240, pause=0.1))
    program = Program(("python", script), code, params or {})
    return drill(program, options, root, lambda _name, _counts: None, lambda _text: None)


def written(folder: Path, **scripts: str) -> Path:
    """The folder with these scripts, and with what they share."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "common.py").write_text((PROGRAMS / "common.py").read_text())
    return folder
