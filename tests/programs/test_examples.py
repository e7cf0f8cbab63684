"""The scripts in examples/programs run below a real worker, die in each attempt, and end as an uninterrupted run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.example_jobs import assert_ends_alike
from tests.support.jobs import Jobs
from tests.support.worker import Workers

SMALL: dict[str, dict[str, Any]] = {
    "numpy_spirals": {"epochs": 3},
    "sklearn_digits": {"epochs": 2},
    "keras_loop": {"epochs": 2, "batch": 64},
    "keras_fit": {"epochs": 2, "batch": 64},
}


@pytest.mark.timeout(600)  # each attempt of Keras imports TensorFlow
@pytest.mark.parametrize(
    "name",
    [
        "numpy_spirals",
        "sklearn_digits",
        pytest.param("keras_loop", marks=pytest.mark.slow),
        pytest.param("keras_fit", marks=pytest.mark.slow),
    ],
)
def test_an_example_that_dies_twice(jobs: Jobs, workers: Workers, tmp_path: Path, name: str) -> None:
    workers.start("--programs")
    assert_ends_alike(jobs, tmp_path, sys.executable, name, SMALL[name])
