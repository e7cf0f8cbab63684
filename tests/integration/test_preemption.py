"""Jobs end as they should, whatever happens to the workers: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.process_state import gone
from tests.support.service import ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

EPOCHS, STEPS = 5, 3 * 60 + 2 * 40
PREDICT = """
import sys, numpy as np, keras
model = keras.models.load_model(sys.argv[1])
for size in (16, 32):
    answers = model.predict(np.random.default_rng(0).random((4, size, size, 3), np.float32), verbose=0)
    assert answers.shape == (4, 10) and np.allclose(answers.sum(axis=1), 1, atol=1e-5), answers
assert not [name for name in sys.modules if name.split(".")[0] in ("models", "worker", "core")]
"""


@pytest.fixture
def interpreters(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    """Workers that start as at users: each process is a new interpreter."""
    with make_workers(service, tmp_path, fork=False) as made:
        yield made


def assert_whole(jobs: Jobs, job: str) -> list[dict[str, Any]]:
    history = jobs.items(job, "history")
    assert [row["epoch"] for row in history] == list(range(1, EPOCHS + 1))
    assert [row["global_step"] for row in history] == [60, 120, 180, 220, 260]
    assert [event["sequence"] for event in jobs.items(job, "events")] == list(
        range(1, len(jobs.items(job, "events")) + 1)
    )
    return history


def test_killed_without_a_warning(jobs: Jobs, interpreters: Workers) -> None:
    first = interpreters.start()
    job = jobs.submit(tiny())
    jobs.await_job(job, lambda view: bool(view["checkpoint"]) and view["progress"]["global_step"] >= 70)
    first.kill_group()
    interpreters.start()
    jobs.await_job(job, lambda view: view["status"] == "recovering")
    jobs.await_job(job, lambda view: view["status"] == "running")
    ended = jobs.await_end(job)
    assert (ended["status"], ended["attempts"], ended["preemptions"], ended["failures"]) == ("succeeded", 2, 1, 0)
    assert_whole(jobs, job)
    assert [a["state"] for a in jobs.items(job, "attempts")] == ["lost", "succeeded"]


def test_warned_it_commits_and_the_next_goes_on_at_that_very_step(jobs: Jobs, workers: Workers) -> None:
    first = workers.start()
    job = jobs.submit(tiny(checkpoint={"every": "10000 steps"}))
    jobs.await_step(job, 70)
    first.terminate()
    view = jobs.await_job(job, lambda view: view["status"] == "recovering")
    assert first.process is not None
    assert first.process.wait(60) == 0
    stopped = view["checkpoint"]["global_step"]
    assert stopped >= 70
    workers.start()
    assert jobs.await_end(job)["status"] == "succeeded"
    attempts = jobs.items(job, "attempts")
    assert [a["state"] for a in attempts] == ["preempted", "succeeded"]
    assert attempts[0]["message"] == "SIGTERM"  # the worker stopped by itself, it was not killed
    assert attempts[0]["end_step"] == attempts[1]["start_step"] == stopped
    assert_whole(jobs, job)


def test_a_killed_training_process_is_reported_by_its_parent(jobs: Jobs, workers: Workers) -> None:
    worker = workers.start()
    job = jobs.submit(tiny())
    jobs.await_step(job, 30)
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    ended = jobs.await_end(job)
    assert (ended["status"], ended["attempts"], ended["failures"]) == ("succeeded", 2, 1)
    first = jobs.items(job, "attempts")[0]
    assert (first["state"], first["reason"]) == ("failed", "process_died")
    assert "SIGKILL" in first["message"]
    assert_whole(jobs, job)


def test_a_killed_parent_leaves_no_orphan(jobs: Jobs, interpreters: Workers) -> None:
    worker = interpreters.start()
    job = jobs.submit(tiny())
    jobs.await_step(job, 5)
    (child,) = worker.children()
    assert worker.process is not None
    worker.process.kill()
    worker.process.wait()
    until(lambda: gone(child), 60, "the training process to end")
    interpreters.start()
    assert jobs.await_end(job)["status"] == "succeeded"


def test_best_keras_predicts_where_only_keras_is_imported(jobs: Jobs, workers: Workers, tmp_path: Path) -> None:
    workers.start("--once")
    job = jobs.submit(tiny())
    ended = jobs.await_end(job)
    assert ended["status"] == "succeeded"
    assert 0 <= ended["results"]["test_accuracy"] <= 1
    assert {a["name"] for a in jobs.items(job, "artifacts")} == {
        "best.keras",
        "latest.keras",
        "history.csv",
        "evaluation.json",
    }
    (tmp_path / "best.keras").write_bytes(jobs.download(job, "best.keras"))
    subprocess.run([sys.executable, "-c", PREDICT, str(tmp_path / "best.keras")], cwd=tmp_path, check=True)
    rows = jobs.download(job, "history.csv").decode().splitlines()
    assert len(rows) == 1 + EPOCHS
    losses = [row["loss"] for row in jobs.items(job, "history")]
    assert np.allclose([float(line.split(",")[rows[0].split(",").index("loss")]) for line in rows[1:]], losses)


def test_cancelled_while_it_trains(jobs: Jobs, workers: Workers) -> None:
    workers.start()
    job = jobs.submit(tiny())
    jobs.await_step(job, 20)
    with workers.service.client() as http:
        assert http.post(f"/v1/jobs/{job}/cancel").status_code == 202
    assert jobs.await_end(job)["status"] == "cancelled"
    assert [a["state"] for a in jobs.items(job, "attempts")] == ["cancelled"]


def test_paused_and_resumed(jobs: Jobs, workers: Workers) -> None:
    workers.start()
    job = jobs.submit(tiny())
    jobs.await_step(job, 20)
    with workers.service.client() as http:
        assert http.post(f"/v1/jobs/{job}/pause").status_code == 202
        paused = jobs.await_job(job, lambda view: view["status"] == "paused")
        assert paused["checkpoint"]["global_step"] >= 20
        assert http.post(f"/v1/jobs/{job}/resume").status_code == 202
    assert jobs.await_end(job)["status"] == "succeeded"
    assert_whole(jobs, job)
    attempts = jobs.items(job, "attempts")
    assert attempts[0]["end_step"] == attempts[1]["start_step"] == paused["checkpoint"]["global_step"]
