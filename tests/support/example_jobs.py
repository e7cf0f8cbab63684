"""Runs a script of examples/programs twice: alone, and as a job whose attempts die. Both must end alike."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import dying_script
from tests.support.jobs import Jobs
from tests.support.service import ROOT

NO_VARIABLES: Mapping[str, str] = {}
SECONDS = 300
PATIENT = {"backoff": 0, "max_failures": 1000, "max_attempts_without_progress": 5}


def assert_ends_alike(
    jobs: Jobs,
    folder: Path,
    python: str,
    name: str,
    params: dict[str, Any],
    weights: str = "weights.npz",
    environment: Mapping[str, str] = NO_VARIABLES,
) -> None:
    """Run the example `name` with the interpreter `python`. Its first attempts die; a worker must be running.

    `folder`: for the run without a worker. `weights`: the file that the example publishes. `environment`: of both runs.
    """
    environment = {"PYTHONPATH": str(ROOT), **environment}
    expected = _whole_run(folder, python, name, params, environment)
    job = jobs.submit(
        {
            "name": name.replace("_", "-"),
            "program": {
                "command": [python, "-m", "tests.support.dying_script", str(_script(name))],
                "environment": environment,
            },
            "params": params,
            "checkpoint": {"every": "2 steps"},
            "retry": PATIENT,
        }
    )
    view = jobs.await_end(job, SECONDS)
    assert view["status"] == "succeeded", (view, jobs.items(job, "attempts"))
    assert len(jobs.items(job, "attempts")) > dying_script.DEATHS
    assert any(event["kind"] == "restored" for event in jobs.items(job, "events"))
    assert jobs.download(job, weights) == (expected / "published" / weights).read_bytes()
    with (expected / "history.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    found = [{"epoch": r["epoch"], "step": r["global_step"], **r["metrics"]} for r in jobs.items(job, "history")]
    assert found == rows


def _whole_run(folder: Path, python: str, name: str, params: dict[str, Any], environment: Mapping[str, str]) -> Path:
    """Runs the example without a worker and without a kill. Returns the folder of its results."""
    own = {**environment, "BATON_PARAMS": json.dumps(params)}
    subprocess.run([python, str(_script(name))], cwd=folder, env={**os.environ, **own}, check=True, timeout=SECONDS)
    return folder / ".baton-run"


def _script(name: str) -> Path:
    return ROOT / "examples/programs" / f"{name}.py"
