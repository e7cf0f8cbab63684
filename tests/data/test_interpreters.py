"""The contract for the sources of Keras, Hugging Face, torch and torchdata, in an interpreter that has them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.data_kinds import HUGGING_FACE, KERAS, TORCH, TORCHDATA, Kind
from tests.support.frameworks import interpreter
from tests.support.service import ROOT


def check(python: str, kinds: dict[str, Kind]) -> None:
    command = [python, "-m", "tests.support.data_kinds", *kinds]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [*kinds]


@pytest.mark.process
def test_keras() -> None:
    check(sys.executable, KERAS)


@pytest.mark.slow  # the first run on a machine installs the package
@pytest.mark.timeout(1200)
def test_hugging_face() -> None:
    check(interpreter("datasets"), HUGGING_FACE)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("framework", "kinds"), [("torch", TORCH), ("torch-cpu", {**TORCH, **TORCHDATA})])
def test_torch(framework: str, kinds: dict[str, Kind]) -> None:
    check(interpreter(framework), kinds)
