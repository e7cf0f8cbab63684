"""Four programs with `baton.keras.fit`, interrupted at drawn points, end as uninterrupted ones, to the bit.

Most attempts stay in one process, as TensorFlow takes seconds to load; `make chaos-adapters` kills processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.resume.adapters import KERAS, Program, started, uninterrupted
from tests.support.cuts import Cut
from tests.support.finished_runs import differences
from tests.support.frameworks import interpreter
from tests.support.service import ROOT

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]
SCHEDULES, PROGRAMS = "tests.support.program_schedules", "tests.support.keras_programs"
LIMIT = 800


def lines(python: str, backend: str, module: str, *words: str) -> list[dict[str, Any]]:
    """The lines of JSON that the module prints."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, "-m", module, *words], env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_schedule_of_each_program_on_tensorflow(tmp_path: Path) -> None:
    words = PROGRAMS, str(tmp_path), "1", "--", "cnn", "lstm", "regression", "custom"
    found = lines(sys.executable, "tensorflow", SCHEDULES, *words)
    assert [one["differences"] for one in found] == [[]] * 4
    assert all(one["attempts"] > 2 for one in found)


def test_a_schedule_on_jax(tmp_path: Path) -> None:
    words = PROGRAMS, str(tmp_path), "3", "--", "custom"
    found = lines(interpreter("jax"), "jax", SCHEDULES, *words)
    assert [one["differences"] for one in found] == [[]]


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    program: Program = next(one for one in KERAS if one.name == "cnn")
    uninterrupted(program, tmp_path / "whole")
    killed = started(program, tmp_path / "parts", Cut("kill", 12, (4, 9)))
    killed.communicate(timeout=LIMIT)
    assert killed.returncode == -9
    uninterrupted(program, tmp_path / "parts")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


def test_the_history_is_that_of_fit(tmp_path: Path) -> None:
    found = lines(sys.executable, "tensorflow", "tests.support.keras_plain", str(tmp_path), "cnn", "regression")
    assert [one["name"] for one in found] == ["cnn", "regression"]
    assert all(one["largest"] < 1e-5 for one in found)
