"""A mistake of the user ends a job with an explanation, and is not retried."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.jobs import Jobs, tiny
from tests.support.service import ServiceProcess
from tests.support.worker import Workers, workers


@pytest.fixture(scope="module")
def worker(service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with workers(service, tmp_path_factory.mktemp("worker")) as made:
        made.start()
        yield made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two classes of twelve images each."""
    noise = np.random.default_rng(1)
    for label in ("cat", "dog"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for k in range(12):
            cv2.imwrite(str(folder / f"{k:02d}.jpg"), noise.integers(0, 255, (16, 16, 3), np.uint8))
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"network": {"name": "resnet-50"}}, "network.name"),
        ({"stages": [{"epochs": 1, "batch_size": 0}]}, "stages.0.batch_size"),
        ({"stages": [{"epochs": 1, "image_size": 30}]}, "stages.0.image_size"),
        ({"stages": [{"image_size": 32}]}, "stages.0.epochs"),
        ({"stages": []}, "stages"),
        ({"dataset": {"name": "image-folder"}}, "dataset.path"),
    ],
)
def test_a_bad_spec_is_refused_by_its_field(service: ServiceProcess, change: dict[str, Any], field: str) -> None:
    with service.client() as http:
        answer = http.post("/v1/jobs", json=tiny(**change))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def failed(jobs: Jobs, dataset: dict[str, Any]) -> dict[str, Any]:
    job = jobs.submit(tiny(dataset=dataset))
    ended = jobs.await_end(job)
    assert (ended["status"], ended["reason"], ended["attempts"]) == ("failed", "bad_data", 1)
    return ended


def test_a_path_that_does_not_exist(jobs: Jobs, worker: Workers) -> None:
    ended = failed(jobs, {"name": "tiny-imagenet-200", "path": "/no/such/place"})
    assert "dataset.path" in ended["message"]
    assert "/no/such/place" in ended["message"]


def test_a_zip_of_ones_own_trains(jobs: Jobs, worker: Workers, images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as made:
        for path in sorted(images.rglob("*.jpg")):
            made.write(path, path.relative_to(images))
    stages = [{"image_size": 16, "batch_size": 8, "epochs": 1}]
    job = jobs.submit(tiny(dataset={"name": "image-folder", "path": str(tmp_path / "own.zip")}, stages=stages))
    assert jobs.await_end(job)["status"] == "succeeded"


def renamed(path: Path, name: bytes) -> Path:
    """Rename the file or folder. The new name need not be UTF-8."""
    return path.rename(os.fsdecode(os.fsencode(path.parent) + b"/" + name))


def test_names_that_are_not_utf8_train_and_are_evaluated(jobs: Jobs, worker: Workers, images: Path) -> None:
    renamed(images / "dog", b"caf\xe9")
    renamed(images / "cat" / "03.jpg", b"\xff.jpg")
    stages = [{"image_size": 16, "batch_size": 8, "epochs": 1}]
    job = jobs.submit(tiny(dataset={"name": "image-folder", "path": str(images)}, stages=stages))
    assert jobs.await_end(job)["status"] == "succeeded"
    assert r"caf\\xe9" in jobs.download(job, "evaluation.json").decode()


def test_a_broken_image_whose_name_is_not_utf8_fails_the_job_by_its_name(
    jobs: Jobs, worker: Workers, images: Path
) -> None:
    renamed(images / "dog" / "05.jpg", b"caf\xe9.jpg").write_bytes(b"no image")
    message = failed(jobs, {"name": "image-folder", "path": str(images)})["message"]
    assert message.startswith(rf"{images}/dog/caf\xe9.jpg: no image that can be read. Replace or remove it")
