"""`baton evaluate`: evaluates a job's model on this machine, with the job's validation and test images."""

from __future__ import annotations

import importlib.util
import json as json_lib
import os
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from baton.cli.app import (
    JOB_FAILED,
    REFUSED,
    USAGE,
    Job,
    Json,
    Sets,
    app,
    connect,
    console,
    fail,
    say,
)
from baton.cli.evaluation_text import evaluation_markdown, evaluation_table
from baton.cli.spec_files import parse_sets
from baton.client.client import Client
from baton.client.find_job import find_job
from baton.domain.evaluation import FILE, Evaluation
from baton.domain.overrides import apply_overrides
from baton.domain.views import JobView
from baton.local.programs import child_environment

NEEDED = "tensorflow"


class Model(StrEnum):
    """The models of a job."""

    BEST = "best"
    LATEST = "latest"


@app.command()
def evaluate(
    job: Job,
    model: Annotated[Model, typer.Option(help="Which model.")] = Model.BEST,
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write evaluation.json and .md there.")] = None,
    json: Json = False,
) -> None:
    """Evaluate a job's model on this machine. Needs the data and TensorFlow."""
    if importlib.util.find_spec(NEEDED) is None:
        text = f"this command needs {NEEDED}, which is not installed: install Baton with its extra 'cpu' or 'gpu'"
        fail(text, USAGE)
    overrides = parse_sets(sets or [])
    with connect() as client, tempfile.TemporaryDirectory(prefix="baton-") as folder:
        found = find_job(client, job)
        if "program" in found.spec:
            fail(f"{found.name} is a program, and only the models of image classifiers can be evaluated", REFUSED)
        spec = apply_overrides(found.spec, overrides)
        file = _fetch(client, found, model, Path(folder))
        evaluation = _evaluate(spec, file, _about(found, model), Path(folder))
    if out is not None:
        _write(evaluation, out)
    print(evaluation.model_dump_json(indent=2)) if json else console().print(evaluation_table(evaluation))


def _fetch(client: Client, job: JobView, model: Model, folder: Path) -> Path:
    name = f"{model}.keras"
    if name not in {artifact.name for artifact in client.artifacts(job.id)}:
        fail(f"{job.name} has no {name} yet: the first finished epoch writes it", REFUSED)
    return client.download(job.id, name, folder / name)


def _about(job: JobView, model: Model) -> list[str]:
    """Arguments for the stage and epoch of the model, if the service has recorded them."""
    if model is Model.BEST and job.best is not None:
        return ["--stage", str(job.best.stage), "--epoch", str(job.best.epoch)]
    return ["--stage", str(job.progress.stage)] if job.progress else []


def _evaluate(spec: dict[str, Any], model: Path, about: list[str], folder: Path) -> Evaluation:
    """Runs the evaluation in another process, because TensorFlow does not release its memory.

    That process also validates the spec: it can see which extensions are installed here.
    """
    file = folder / "spec.json"
    file.write_text(json_lib.dumps(spec), encoding="utf-8")
    say("evaluating; the first run also decodes the images")
    command: list[Any] = [sys.executable, "-m", "worker.training.evaluate", "--spec", file, "--model", model, *about]
    answer = subprocess.run(command, env=child_environment(os.environ), check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"]
        fail(f"the evaluation failed: {lines[-1]}", JOB_FAILED)
    return Evaluation.model_validate_json(answer.stdout)


def _write(evaluation: Evaluation, folder: Path) -> None:
    files = {FILE: evaluation.model_dump_json(), "evaluation.md": evaluation_markdown(evaluation)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
            say(f"wrote {folder / name}")
    except OSError as error:
        fail(f"cannot write to {folder}: {error.strerror}; choose another directory with --out", USAGE)
