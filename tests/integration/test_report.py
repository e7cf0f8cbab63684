"""Evaluation and report of a real job, made by a real worker, and downloaded over REST and with the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from baton.domain.evaluation import KERAS_SINCE
from tests.support.jobs import TERMINAL, Jobs, tiny
from tests.support.service import ServiceProcess
from tests.support.worker import Workers

KEPT = {"val_accuracy", "test_accuracy", "test_loss", "best_epoch"}
FIGURES = {"loss", "accuracy", "learning-rate", "augmentation-1", "confusion-validation", "predictions-test"}
JOB = {
    "name": "reported",
    "network": {"name": "tiny-cnn", "width": 0.2},
    "stages": [
        {"image_size": 8, "batch_size": 16, "epochs": 2, "steps_per_epoch": 10, "augmentation": "paper-1"},
        {"image_size": 16, "batch_size": 16, "epochs": 2, "steps_per_epoch": 10, "start_from": "best"},
    ],
}


def baton(service: ServiceProcess, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**service.environment, "BATON_CACHE": str(folder / "cache"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "baton.cli", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=150
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


def test_a_job_ends_with_its_evaluation_and_report(
    service: ServiceProcess, jobs: Jobs, workers: Workers, folder: Path
) -> None:
    workers.start(BATON_REPORTS="1")
    job = jobs.submit(tiny(**JOB))
    ended = jobs.await_job(job, lambda view: view["status"] in TERMINAL, 240.0)
    assert ended["status"] == "succeeded"
    assert {e["kind"] for e in jobs.items(job, "events")} & {"report_failed", "file_unreadable"} == set()
    evaluation = json.loads(jobs.download(job, "evaluation.json"))
    _agrees(ended, evaluation)
    assert evaluation["keras"] == {"written_by": version("keras"), "read_since": KERAS_SINCE}
    listed = {a["name"]: a["content_type"] for a in jobs.items(job, "artifacts")}
    assert {f"report-{name}.png" for name in FIGURES} <= listed.keys()
    assert listed["report.html"] == "text/html; charset=utf-8"
    page = jobs.download(job, "report.html").decode()
    assert '<section id="set-test">' in page
    assert "Goodput" in page
    assert b"report-loss.png" in jobs.download(job, "report.md")
    assert jobs.download(job, "report-loss.png")[:4] == b"\x89PNG"
    _by_command(service, folder, ended["id"], evaluation, page)


def _agrees(ended: dict[str, Any], evaluation: dict[str, Any]) -> None:
    results, sets = ended["results"], evaluation["sets"]
    assert results.keys() >= KEPT | {"val_top5", "val_loss", "val_f1", "test_top5", "test_f1"}
    assert (results["val_accuracy"], results["test_accuracy"]) == (
        sets["validation"]["accuracy"],
        sets["test"]["accuracy"],
    )
    assert results["test_top5"] == sets["test"]["top5_accuracy"] >= results["test_accuracy"]
    assert evaluation["model"] == {
        "role": "best", "stage": ended["best"]["stage"], "epoch": ended["best"]["epoch"],
        "image_size": 8 if ended["best"]["stage"] == 1 else 16,
    }  # fmt: skip
    assert [c["name"] for c in sets["test"]["classes"]] == [str(digit) for digit in range(10)]
    assert sum(map(sum, sets["test"]["confusion"])) == sets["test"]["images"]


def _by_command(service: ServiceProcess, folder: Path, job: str, evaluation: dict[str, Any], page: str) -> None:
    saved = baton(service, folder, "report", job)
    assert saved.stdout.strip() == "reported-report.html", saved.stderr
    assert (folder / "reported-report.html").read_text() == page
    saved = baton(service, folder, "report", "reported", "--markdown", "--out", "text")
    assert (folder / "text" / "report-accuracy.png").exists(), saved.stderr
    again = baton(service, folder, "evaluate", job, "--out", "numbers", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["keras"] == evaluation["keras"]
    assert json.loads(again.stdout)["sets"]["test"]["confusion"] == evaluation["sets"]["test"]["confusion"]
    assert json.loads((folder / "numbers" / "evaluation.json").read_text()) == json.loads(again.stdout)
    wrong = baton(service, folder, "evaluate", job, "--set", "network.width=0.1")
    assert wrong.returncode == 1
    assert "is of another network than the spec" in wrong.stderr
