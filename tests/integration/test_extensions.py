"""A user's package that is installed beside the worker: its network, data set and augmentation, trained with exact
resume.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from baton.storage import open_store
from tests.resume.final_states import ending
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.service import ROOT, ServiceProcess
from tests.support.worker import Workers

PACKAGE = ROOT / "examples" / "own_network"
HAZARD = """
import keras


def with_lambda(*, classes, width, seed, dropout):
    return keras.Sequential([
        keras.Input((None, None, 3)),
        keras.layers.Lambda(lambda x: x * 2.0 - 1.0),
        keras.layers.Conv2D(2, 3, activation="relu", padding="same"),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(classes),
    ])
"""
SPEC: dict[str, Any] = yaml.safe_load((PACKAGE / "job.yaml").read_text())


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a worker that has the package."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), str(PACKAGE)], check=True, timeout=120)
    return {"PYTHONPATH": str(folder)}


def await_known(jobs: Jobs, name: str) -> None:
    until(lambda: name in jobs.extensions(), 60, f"worker with {name}")


def test_it_is_trained_and_resumed_to_the_bit(
    jobs: Jobs, workers: Workers, service: ServiceProcess, installed: dict[str, str]
) -> None:
    first = workers.start(**installed)
    await_known(jobs, "small-cnn")
    whole = jobs.submit(SPEC)
    assert jobs.await_end(whole)["status"] == "succeeded"
    killed = jobs.submit({**SPEC, "name": "squares-killed"})
    jobs.await_job(killed, lambda view: bool(view["checkpoint"]) and view["progress"]["global_step"] >= 45)
    first.kill_group()
    workers.start(**installed)
    view = jobs.await_end(killed)
    assert (view["status"], view["attempts"]) == ("succeeded", 2)
    assert view["results"]["test_accuracy"] > 0.6
    store = open_store(service.store_url)
    assert ending(jobs, killed, store).differences(ending(jobs, whole, store)) == []


def test_a_worker_without_it_leaves_the_job_to_another(jobs: Jobs, workers: Workers, installed: dict[str, str]) -> None:
    owner = workers.start(**installed)
    await_known(jobs, "squares")
    owner.kill_group()
    workers.start()
    job = jobs.submit(SPEC)
    until(lambda: [e["kind"] for e in jobs.items(job, "events")].count("dispatched") >= 2, 60, "second message")
    wanted = "with network small-cnn, data set squares, augmentation mirror"
    assert str(jobs.show(job)["waiting_for"]).endswith(wanted)
    workers.start(**installed)
    assert jobs.await_end(job)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"network": {"name": "small-cnn", "options": {"depth": 3}}}, "depth"),
        ({"dataset": {"name": "squares", "split": "official", "options": {"each": "many"}}}, "invalid literal"),
    ],
)
def test_its_errors_are_told(
    jobs: Jobs, workers: Workers, installed: dict[str, str], change: dict[str, Any], expected: str
) -> None:
    workers.start(**installed)
    await_known(jobs, "squares")
    ended = jobs.await_end(jobs.submit({**SPEC, **change, "retry": {"max_failures": 0}}))
    assert ended["status"] == "failed"
    assert expected in ended["message"]
    assert "squares.py" in ended["message"] or "networks.py" in ended["message"]


def test_a_model_that_plain_keras_cannot_load_is_told(jobs: Jobs, workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "hazard.py").write_text(HAZARD)
    about = tmp_path / "hazard-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hazard\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[baton.networks]\nlambda-cnn = hazard:with_lambda\n")
    workers.start(PYTHONPATH=str(tmp_path), BATON_REPORTS="1")
    await_known(jobs, "lambda-cnn")
    stage = {"image_size": 8, "batch_size": 16, "epochs": 1, "steps_per_epoch": 3}
    job = jobs.submit(tiny(network={"name": "lambda-cnn"}, stages=[stage]))
    assert jobs.await_end(job)["status"] == "succeeded"
    (event,) = [e for e in jobs.items(job, "events") if e["kind"] == "file_unreadable"]
    assert "Python lambda" in event["message"]
    assert "The job continues" in event["message"]
