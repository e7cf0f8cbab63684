"""What a program sees of the worker's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT
from worker.programs.environment import program_environment, without_secrets

SECRETS = (
    "BATON_TOKEN",
    "BATON_REDIS_URL",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "PGPASSWORD",
    "WANDB_API_KEY",
    "HF_TOKEN",
)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_and_settings_are_left_out(name: str) -> None:
    kept = {"HOME": "/home/x", "CUDA_VISIBLE_DEVICES": "0", "TOKENIZERS_PARALLELISM": "false"}
    assert without_secrets({**kept, name: "x"}) == kept
    assert without_secrets({**kept, name: "x"}, [name]) == {**kept, name: "x"}


@pytest.mark.process
def test_the_library_is_importable_and_the_packages_of_the_worker_are_not(tmp_path: Path) -> None:
    own = program_environment({"PATH": "/bin"}, {"A": "1"}, tmp_path, tmp_path / "socket", "secret")
    code = "import baton, os; print(baton.__file__, os.environ['A'])\nimport worker"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, env=own, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(str(tmp_path / "lib" / "baton"))
    assert "No module named 'worker'" in done.stderr


def test_python_is_the_interpreter_of_the_worker_and_the_spec_wins(tmp_path: Path) -> None:
    own = program_environment({"PATH": "/bin"}, {"TMPDIR": "/scratch"}, tmp_path, tmp_path / "socket", "secret")
    assert own["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert own["TMPDIR"] == "/scratch"
    assert own["BATON_PROGRAM_SECRET"] == "secret"


@pytest.mark.process
def test_the_process_of_a_program_loads_no_framework_and_no_numpy() -> None:
    code = "import sys, worker.programs.__main__; print({'numpy', 'tensorflow', 'keras'} & set(sys.modules))"
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
