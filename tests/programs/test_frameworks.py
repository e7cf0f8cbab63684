"""The examples whose framework the development environment does not have, each with an interpreter of its own.

They run below a real worker, die in each attempt, and end as an uninterrupted run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.example_jobs import assert_ends_alike
from tests.support.frameworks import interpreter
from tests.support.jobs import Jobs
from tests.support.worker import Workers

# The first run on a machine installs the framework.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", ["jax_spirals", "jax_flax"])
def test_jax_dies_twice(jobs: Jobs, workers: Workers, tmp_path: Path, name: str) -> None:
    python = interpreter("jax")
    compile_once = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    workers.start("--programs")
    assert_ends_alike(jobs, tmp_path, python, name, {"epochs": 1}, environment=compile_once)


@pytest.mark.parametrize("name", ["torch_spirals", "torch_track"])
def test_pytorch_dies_twice(jobs: Jobs, workers: Workers, tmp_path: Path, name: str) -> None:
    python = interpreter("torch")
    workers.start("--programs")
    assert_ends_alike(jobs, tmp_path, python, name, {"epochs": 1}, "weights.pt")
