"""The scripts in examples/programs end with the same bytes after a kill and a restart."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT

pytestmark = pytest.mark.process

SECONDS = 120
SMALL = {
    "numpy_spirals": {"epochs": 3},
    "sklearn_digits": {"epochs": 2},
}
"""The Keras example runs in tests/programs. JAX and PyTorch are not in the development lock."""


def start(name: str, folder: Path, **environment: str) -> int:
    """Runs an example in the folder. Returns its exit status."""
    folder.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "BATON_SAVE_EVERY": "0s", "BATON_PARAMS": json.dumps(SMALL[name]), **environment}
    script = ROOT / "examples/programs" / f"{name}.py"
    command = [sys.executable, "-m", "tests.support.killed_script", script]
    return subprocess.run(command, cwd=folder, env={**os.environ, **own}, check=False, timeout=SECONDS).returncode


@pytest.mark.parametrize("name", list(SMALL))
def test_a_killed_example_ends_as_one_that_is_not(tmp_path: Path, name: str) -> None:
    assert start(name, tmp_path / "whole") == 0
    drawn = random.Random(name)
    for _ in range(2):
        assert start(name, tmp_path / "killed", KILL_AT=str(drawn.randint(60, 140))) == -signal.SIGKILL
    assert start(name, tmp_path / "killed") == 0
    for file in ("series.csv", "history.csv", "published/weights.npz"):
        whole, killed = (tmp_path / run / ".baton-run" / file for run in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), file
