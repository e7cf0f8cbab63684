"""Data that changes between two attempts: the change is reported, nothing is trained on it, and no work is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.domain.wire import CLOCK_COLUMNS
from tests.support.jobs import Jobs, tiny
from tests.support.service import ServiceProcess
from tests.support.worker import Workers, workers
from tests.unit.training.pictures import image_folder

CLASSES = ("ant", "bee", "cow")
EPOCHS = 3
STAGES = [
    {"image_size": 16, "batch_size": 4, "epochs": 2, "steps_per_epoch": 40},
    {"image_size": 16, "batch_size": 8, "epochs": 1},
]


@pytest.fixture(scope="module")
def worker(service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with workers(service, tmp_path_factory.mktemp("worker")) as made:
        made.start()
        yield made


def submitted(jobs: Jobs, root: Path, **dataset: Any) -> str:
    network = {"name": "tiny-cnn", "width": 0.2}
    data = {"name": "image-folder", "path": str(root), **dataset}
    return jobs.submit(tiny(network=network, dataset=data, stages=STAGES, checkpoint={"every": "7 steps"}))


def paused(jobs: Jobs, job: str, action: str) -> dict[str, Any]:
    jobs.ask(job, action)
    return jobs.await_job(job, lambda view: view["status"] == "paused")


def history(jobs: Jobs, job: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in CLOCK_COLUMNS} for row in jobs.items(job, "history")]


def kinds(jobs: Jobs, job: str) -> list[str]:
    return [event["kind"] for event in jobs.items(job, "events")]


def test_a_class_that_was_renamed_and_renamed_back(jobs: Jobs, worker: Workers, tmp_path: Path) -> None:
    root = image_folder(tmp_path / "images", classes=CLASSES, each=20)
    job = submitted(jobs, root)
    jobs.await_step(job, 10)
    at = paused(jobs, job, "pause")["checkpoint"]["global_step"]

    (root / "ant").rename(root / "zebra")
    jobs.ask(job, "resume")
    ended = jobs.await_job(job, lambda view: view["status"] == "paused" and view["reason"] == "data_changed")
    assert "1 class renamed: ant -> zebra" in ended["message"]
    assert ended["checkpoint"]["global_step"] == at
    attempt = jobs.items(job, "attempts")[-1]
    assert (attempt["state"], attempt["reason"]) == ("failed", "data_changed")
    assert kinds(jobs, job).count("started") == 1  # no step was trained on the changed data

    # The same data as it would be on another machine: only the times of the files differ.
    shutil.rmtree(root)
    image_folder(root, classes=CLASSES, each=20)
    jobs.ask(job, "resume")
    assert jobs.await_end(job)["status"] == "succeeded"
    assert "resumed_inexactly" not in kinds(jobs, job)

    whole = submitted(jobs, root)
    assert jobs.await_end(whole)["status"] == "succeeded"
    assert history(jobs, job) == history(jobs, whole)
    assert len(history(jobs, job)) == EPOCHS


def test_going_on_with_changed_data_is_told(jobs: Jobs, worker: Workers, tmp_path: Path) -> None:
    root = image_folder(tmp_path / "images", classes=CLASSES, each=20)
    job = submitted(jobs, root, on_change="continue")
    jobs.await_step(job, 10)
    paused(jobs, job, "pause")
    for k in range(10):
        shutil.copyfile(root / "bee" / f"{k:02}.jpg", root / "bee" / f"new{k}.jpg")
    jobs.ask(job, "resume")
    assert jobs.await_end(job)["status"] == "succeeded"
    (told,) = [event for event in jobs.items(job, "events") if event["kind"] == "resumed_inexactly"]
    assert "10 files added: bee/new0.jpg" in told["message"]
    assert (told["data"]["images_before"], told["data"]["images"]) == (60, 70)


def test_a_worker_with_a_stale_copy_does_not_get_in_the_way(
    jobs: Jobs, worker: Workers, service: ServiceProcess, tmp_path: Path
) -> None:
    """`~` is a different folder on each worker."""
    good, stale = tmp_path / "good", tmp_path / "stale"
    image_folder(good / "images", classes=CLASSES, each=20)
    shutil.copytree(good / "images", stale / "images")
    shutil.copyfile(stale / "images" / "ant" / "00.jpg", stale / "images" / "cow" / "03.jpg")
    worker.all[0].kill_group()
    with workers(service, tmp_path) as made:
        first = made.start(HOME=str(good), BATON_CACHE=str(good / "cache"))
        job = submitted(jobs, Path("~/images"))
        jobs.await_step(job, 10)
        first.kill_group()
        second = made.start(HOME=str(stale), BATON_CACHE=str(stale / "cache"))
        jobs.await_job(job, lambda view: view["reason"] == "data_changed")
        assert jobs.show(job)["status"] == "recovering"  # the first worker was seen recently and may return
        second.kill_group()
        made.start(HOME=str(good), BATON_CACHE=str(good / "cache"))
        assert jobs.await_end(job)["status"] == "succeeded"
    found = [(attempt["state"], attempt["reason"]) for attempt in jobs.items(job, "attempts")]
    assert found == [("lost", "lease_expired"), ("failed", "data_changed"), ("succeeded", None)]
    assert "1 file altered: cow/03.jpg" in jobs.items(job, "attempts")[1]["message"]
    assert [row["epoch"] for row in jobs.items(job, "history")] == list(range(1, EPOCHS + 1))
