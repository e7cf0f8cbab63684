"""Programs with `baton.keras.fit`, interrupted at drawn points, end as uninterrupted ones, to the bit.

Attempts on TensorFlow stay in this process, which has loaded it, and those on JAX share one; `make chaos-adapters`
kills a process for each.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.resume.adapters import KERAS, Program, started
from tests.support.cuts import SCHEDULES, Cut
from tests.support.finished_runs import differences
from tests.support.frameworks import interpreter
from tests.support.keras_plain import histories, largest_difference
from tests.support.keras_programs import PROGRAMS, main
from tests.support.program_schedules import scheduled, uninterrupted
from tests.support.service import ROOT

pytestmark = pytest.mark.timeout(900)
LIMIT = 800
SEED = 29
"""A kill and a stop, with saves before them."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives the folder of an uninterrupted run of a program, and its points."""
    known: dict[str, tuple[Path, int]] = {}

    def run(name: str) -> tuple[Path, int]:
        if name not in known:
            folder = tmp_path_factory.mktemp("whole") / name
            known[name] = folder, uninterrupted(main, name, folder)
        return known[name]

    return run


def on_jax(folder: Path, module: str, *words: str) -> list[dict[str, Any]]:
    """The lines of JSON that the module prints. Equal steps are compiled once: compiling takes longer than training."""
    own = {
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    environment = {**os.environ, **own}
    command = [interpreter("jax"), "-m", module, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def schedules_on_jax(folder: Path, seeds: list[int], names: list[str]) -> None:
    """Run these schedules of these programs, and check that nothing differs."""
    words = "tests.support.keras_programs", str(folder), *map(str, seeds), "--", *names
    found = on_jax(folder, "tests.support.program_schedules", *words)
    assert [one["differences"] for one in found] == [[]] * len(seeds) * len(names)
    assert all(one["attempts"] > 2 for one in found)


@pytest.mark.parametrize("name", ["cnn", "lstm", "regression", "custom"])  # test_keras_calls.py has folds
def test_a_schedule_of_each_program(tmp_path: Path, whole: Any, name: str) -> None:
    folder, points = whole(name)
    assert scheduled(main, name, tmp_path / name, SEED, points) > 2
    assert differences(folder, tmp_path / name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_schedules_of_each_program(tmp_path: Path, whole: Any, name: str) -> None:
    folder, points = whole(name)
    for seed in range(SCHEDULES):
        scheduled(main, name, tmp_path / str(seed), seed, points)
        assert differences(folder, tmp_path / str(seed)) == [], seed


@pytest.mark.process
def test_a_schedule_on_jax(tmp_path: Path) -> None:
    schedules_on_jax(tmp_path, [SEED], ["custom"])


@pytest.mark.process
@pytest.mark.slow
def test_three_schedules_of_each_program_on_jax(tmp_path: Path) -> None:
    schedules_on_jax(tmp_path, [1, 2, 3], list(PROGRAMS))


@pytest.mark.process
def test_a_process_that_is_killed(tmp_path: Path, whole: Any) -> None:
    program: Program = next(one for one in KERAS if one.name == "cnn")
    process = started(program, tmp_path, Cut("kill", 12, (4, 9)))
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == -9, output
    main(program.name, str(tmp_path))
    assert differences(whole("cnn")[0], tmp_path) == []


@pytest.mark.parametrize(
    "name", ["cnn", *(pytest.param(one, marks=pytest.mark.slow) for one in ("regression", "custom"))]
)
def test_the_history_is_that_of_fit(tmp_path: Path, name: str) -> None:
    assert largest_difference(*histories(name, tmp_path)) < 1e-5


@pytest.mark.process
@pytest.mark.slow
def test_the_history_is_that_of_fit_on_jax(tmp_path: Path) -> None:
    found = on_jax(tmp_path, "tests.support.keras_plain", str(tmp_path), "cnn", "regression", "custom")
    assert [one["name"] for one in found] == ["cnn", "regression", "custom"]
    assert all(one["largest"] < 1e-5 for one in found), found
