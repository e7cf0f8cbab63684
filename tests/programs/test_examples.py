"""The scripts in examples/programs run below a real worker, die in each attempt, and end as an uninterrupted run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import dying_script
from tests.support.jobs import Jobs
from tests.support.service import ROOT
from tests.support.worker import Workers

SECONDS = 120
SMALL = {
    "numpy_spirals": {"epochs": 3},
    "sklearn_digits": {"epochs": 2},
    "keras_loop": {"epochs": 2, "batch": 64},
}


def whole_run(name: str, folder: Path) -> Path:
    """Runs the example without a worker and without a kill. Returns the folder of its results."""
    own = {"PYTHONPATH": str(ROOT), "BATON_PARAMS": json.dumps(SMALL[name])}
    command = [sys.executable, str(ROOT / "examples/programs" / f"{name}.py")]
    subprocess.run(command, cwd=folder, env={**os.environ, **own}, check=True, timeout=SECONDS)
    return folder / ".baton-run"


@pytest.mark.timeout(600)  # each attempt of Keras imports TensorFlow
@pytest.mark.parametrize(
    "name", ["numpy_spirals", "sklearn_digits", pytest.param("keras_loop", marks=pytest.mark.slow)]
)
def test_an_example_that_dies_twice(jobs: Jobs, workers: Workers, tmp_path: Path, name: str) -> None:
    expected = whole_run(name, tmp_path)
    workers.start("--programs")
    script = str(ROOT / "examples/programs" / f"{name}.py")
    job = jobs.submit(
        {
            "name": name.replace("_", "-"),
            "program": {
                "command": [sys.executable, "-m", "tests.support.dying_script", script],
                "environment": {"PYTHONPATH": str(ROOT)},
            },
            "params": SMALL[name],
            "checkpoint": {"every": "2 steps"},
            "retry": {"backoff": 0, "max_failures": 1000, "max_attempts_without_progress": 5},
        }
    )
    view = jobs.await_end(job, 500)
    assert view["status"] == "succeeded", (view, jobs.items(job, "attempts"))
    assert len(jobs.items(job, "attempts")) == dying_script.DEATHS + 1
    assert any(event["kind"] == "restored" for event in jobs.items(job, "events"))
    assert jobs.download(job, "weights.npz") == (expected / "published/weights.npz").read_bytes()
    with (expected / "history.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    found = [{"epoch": r["epoch"], "step": r["global_step"], **r["metrics"]} for r in jobs.items(job, "history")]
    assert found == rows
