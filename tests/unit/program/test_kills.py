"""A local run that is killed at any file operation ends with the same bytes as one that is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT

pytestmark = pytest.mark.process

TOTAL, MOST_STARTS = 12, 60
PROGRAM = ROOT / "tests/support/killed_program.py"


def start(folder: Path, **environment: str) -> int:
    """Starts the program without site-packages: it needs the standard library only. Returns its exit status."""
    folder.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "BATON_SAVE_EVERY": "0s", "BATON_SAVE_KEEP": "2", **environment}
    return subprocess.run(
        [sys.executable, "-S", PROGRAM, str(TOTAL)], cwd=folder, env={**os.environ, **own}, check=False, timeout=60
    ).returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert start(folder) == 0
    return folder


@pytest.mark.parametrize("seed", range(5))
def test_kills_change_nothing(uninterrupted: Path, tmp_path: Path, seed: int) -> None:
    drawn, starts = random.Random(seed), 1
    assert start(tmp_path, KILL_AT=str(drawn.randint(1, 60))) == -signal.SIGKILL
    while (status := start(tmp_path, KILL_AT=str(drawn.randint(1, 120)))) == -signal.SIGKILL:
        starts += 1
        assert starts < MOST_STARTS
    assert status == 0
    for name in ("final", ".baton-run/series.csv", ".baton-run/history.csv"):
        assert (tmp_path / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    assert len([*tmp_path.glob(".baton-run/saves/*")]) <= 2


def test_the_final_tables(uninterrupted: Path) -> None:
    rows = (uninterrupted / ".baton-run/history.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows] == [["epoch", "step"], ["1", "5"], ["2", "10"]]
    assert rows[0] == "epoch,step,mean,late"
    points = (uninterrupted / ".baton-run/series.csv").read_text().splitlines()
    assert points[0] == "name,step,value"
    assert [point.split(",")[:2] for point in points[1:]] == [
        [name, str(step)] for step in range(TOTAL) for name in ("loss", "first")
    ]
