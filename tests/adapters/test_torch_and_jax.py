"""`baton.torch` and `baton.jax`, with interpreters that have the frameworks.

Many cases or schedules share a process, because the import of a framework takes seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.frameworks import interpreter
from tests.support.service import ROOT

# The first run on a machine installs the framework.
pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

SECONDS = 600
CASES = {"torch": ("torch_cases", "torch_loader_cases"), "jax": ("jax_cases",)}


def run(framework: str, folder: Path, *words: str) -> list[str]:
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",  # two devices, for the cases
        "BATON_SAVE_EVERY": "1h",  # the schedules say when a save is due
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [interpreter(framework), "-W", "ignore", "-m", *words]
    environment = {**os.environ, **own}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("framework", ["torch-cpu", pytest.param("torch", marks=pytest.mark.slow), "jax"])
def test_cases(tmp_path: Path, framework: str) -> None:
    name = framework.removesuffix("-cpu")
    modules = [f"tests.support.{module}" for module in CASES[name]]
    words = ("tests.support.framework_cases", str(tmp_path), f"baton.{name}", *modules)
    results = json.loads(run(framework, tmp_path, *words)[-1])
    assert results
    assert not any(results.values()), "\n".join(f"{name}: {error}" for name, error in results.items() if error)


@pytest.mark.parametrize(
    ("framework", "programs"),
    [
        ("torch-cpu", ["loop:0:2", "phases:5:6", "state:5:6"]),
        ("jax", ["linen:0:2"]),
        pytest.param("torch-cpu", ["accumulating:5:7", "loop:2:5", "stream:5:7", "state:6:8"], marks=pytest.mark.slow),
        pytest.param("jax", ["linen:2:5", "keys:5:7", "objects:5:7"], marks=pytest.mark.slow),
        pytest.param("torch", ["loop:0:5", "accumulating:5:7", "phases:5:7"], marks=pytest.mark.slow),
    ],
)
def test_killed_and_drawn_attempts_end_as_an_uninterrupted_run(
    tmp_path: Path, framework: str, programs: list[str]
) -> None:
    module = f"tests.support.{framework.removesuffix('-cpu')}_programs"
    first = programs[0].partition(":")[0]
    lines = run(framework, tmp_path, "tests.support.forked_attempts", module, str(tmp_path), first, *programs)
    seeds = [(name, range(int(low), int(high))) for name, low, high in (one.split(":") for one in programs)]
    expected = [[name, seed, []] for name, drawn in seeds for seed in (["killed"] if name == first else []) + [*drawn]]
    assert [json.loads(line) for line in lines if line.startswith("[")] == expected
