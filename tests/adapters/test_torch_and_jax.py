"""`baton.torch` and `baton.jax`, with interpreters that have the frameworks.

Many cases or schedules share a process, because the import of a framework takes seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.cuts import KILL, VARIABLE, Cut, as_text
from tests.support.finished_runs import differences
from tests.support.frameworks import interpreter
from tests.support.service import ROOT

# The first run on a machine installs the framework.
pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

SECONDS = 600
MODULES = {"torch": "tests.support.torch_programs", "jax": "tests.support.jax_programs"}


def run(framework: str, *words: str, cut: Cut | None = None) -> subprocess.CompletedProcess[str]:
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",  # two devices, for the cases
        "BATON_SAVE_EVERY": "1h",  # the schedules say when a save is due
    }
    if cut is not None:
        own[VARIABLE] = as_text(cut)
    command = [interpreter(framework), "-W", "ignore", "-m", *words]
    environment = {**os.environ, **own}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.mark.parametrize(
    ("framework", "module"),
    [
        ("torch", "torch_cases"),
        ("torch", "torch_loader_cases"),
        ("torch-cpu", "torch_cases"),
        ("torch-cpu", "torch_loader_cases"),
        ("jax", "jax_cases"),
    ],
)
def test_cases(tmp_path: Path, framework: str, module: str) -> None:
    package = f"baton.{framework.removesuffix('-cpu')}"
    done = run(framework, "tests.support.framework_cases", f"tests.support.{module}", str(tmp_path), package)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results
    assert not any(results.values()), "\n".join(f"{name}: {error}" for name, error in results.items() if error)


@pytest.mark.parametrize(
    ("framework", "programs", "seeds"),
    [
        ("torch-cpu", ["loop"], range(5)),
        ("torch", ["accumulating", "phases", "stream", "state"], range(5, 7)),
        ("jax", ["linen"], range(5)),
        ("jax", ["objects", "keys"], range(5, 7)),
    ],
)
def test_drawn_schedules_end_as_an_uninterrupted_run(
    tmp_path: Path, framework: str, programs: list[str], seeds: range
) -> None:
    module = MODULES[framework.removesuffix("-cpu")]
    words = [module, str(tmp_path), *map(str, seeds), "--", *programs]
    done = run(framework, "tests.support.program_schedules", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["name"], line["seed"]) for line in lines] == [(name, seed) for name in programs for seed in seeds]


@pytest.mark.parametrize(("framework", "program"), [("torch", "loop"), ("jax", "linen")])
def test_a_killed_process_ends_as_an_uninterrupted_run(tmp_path: Path, framework: str, program: str) -> None:
    def trained(folder: str, cut: Cut) -> int:
        done = run(framework, "tests.support.cuts", MODULES[framework], program, str(tmp_path / folder), cut=cut)
        assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
        return done.returncode

    never = Cut("", 0, ())
    assert trained("whole", never) == 0
    assert trained("killed", Cut(KILL, 9, (2, 5))) == -signal.SIGKILL
    assert trained("killed", Cut(KILL, 7, (3,))) == -signal.SIGKILL
    assert trained("killed", never) == 0
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
