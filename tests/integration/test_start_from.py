"""A job that starts from another job needs nothing of it once the checkpoint is copied."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.support.jobs import Jobs, tiny
from tests.support.service import ROOT, ServiceProcess
from tests.support.worker import Workers


def delete(service: ServiceProcess, job: str) -> None:
    """Delete all objects and rows of a job."""
    shutil.rmtree(Path(service.store_url.removeprefix("file://")) / "jobs" / job)
    with closing(sqlite3.connect(service.database_url.removeprefix("sqlite:///"), timeout=30.0)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if "job_id" in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
                connection.execute(f"DELETE FROM {table} WHERE job_id = ?", (job,))
        connection.execute("DELETE FROM jobs WHERE id = ?", (job,))
        connection.commit()


def test_it_trains_on_after_its_source_is_gone(service: ServiceProcess, jobs: Jobs, workers: Workers) -> None:
    first = workers.start()
    source = jobs.submit(tiny())
    best = jobs.await_end(source)["best"]
    first.terminate()
    assert first.process is not None
    assert first.process.wait(60) == 0

    command = [sys.executable, "-m", "baton.cli", "submit", "--from", f"{source}@best", "--set", "stages.1.epochs=4"]
    made = subprocess.run(command, cwd=ROOT, env=service.environment, capture_output=True, text=True, check=True)
    job = made.stdout.split(" as ")[1][:32]
    jobs.await_job(job, lambda view: "copy" not in view["waiting_for"])
    before = [row for row in jobs.items(source, "history") if row["epoch"] <= best["epoch"]]
    delete(service, source)

    workers.start()
    ended = jobs.await_end(job)
    assert (ended["status"], ended["source"]["job"], ended["source"]["deleted"]) == ("succeeded", source, True)
    history = jobs.items(job, "history")
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6, 7]
    losses = [row["val_loss"] for row in history]
    assert losses[: len(before)] == [row["val_loss"] for row in before]
    assert ended["results"]["val_accuracy"] >= best["value"]
    (started,) = [event for event in jobs.items(job, "events") if event["kind"] == "started_from"]
    assert "at its position with its whole state" in started["message"]
    assert jobs.items(job, "attempts")[0]["start_step"] == before[-1]["global_step"]
