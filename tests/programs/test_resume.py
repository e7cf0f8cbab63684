"""A program is killed in each attempt, and ends with the state of an uninterrupted run."""

from __future__ import annotations

import random
from typing import Any

from tests.support.jobs import TERMINAL, Jobs
from tests.support.program_jobs import program
from tests.support.programs.chain import final_state
from tests.support.worker import WorkerProcess, Workers

STEPS = 60


def run_to_the_end(jobs: Jobs, workers: Workers, job: str) -> dict[str, Any]:
    """Start another worker whenever the last one has died, until the job has ended."""
    worker: list[WorkerProcess] = []

    def over(view: dict[str, Any]) -> bool:
        if not worker or (worker[-1].process is not None and worker[-1].process.poll() is not None):
            worker.append(workers.start("--programs"))
        return view["status"] in TERMINAL

    return jobs.await_job(job, over)


def assert_uninterrupted(jobs: Jobs, job: str) -> None:
    """The files, the rows and the series are those of a run that nothing interrupted."""
    states = [final_state(step) for step in range(STEPS + 1)]
    assert jobs.download(job, "final.txt").decode() == states[STEPS].hex()
    rows = {row["epoch"]: (row["global_step"], row["metrics"]) for row in jobs.items(job, "history")}
    assert rows == {n: (10 * n, {"val_loss": states[10 * n][0] / 255}) for n in range(1, STEPS // 10 + 1)}
    assert jobs.series(job, "loss", "train/first") == {
        "loss": [(step, states[step][0] / 255) for step in range(1, STEPS + 1)],
        "train/first": [(step, states[step][1]) for step in range(1, STEPS + 1)],
    }


def test_a_killed_program_ends_with_the_same_state(jobs: Jobs, workers: Workers) -> None:
    draw = random.Random(1)
    kills = {str(n): [whom, draw.randrange(5, STEPS)] for n, whom in enumerate(("program", "runner", "worker"), 1)}
    params = {"steps": STEPS, "epoch_steps": 10, "step_seconds": 0.02, "kills": kills}
    job = jobs.submit(program("chain.py", params=params))
    view = run_to_the_end(jobs, workers, job)
    assert view["status"] == "succeeded", (view, jobs.items(job, "attempts"))
    assert_uninterrupted(jobs, job)


def test_a_job_that_ends_earlier_keeps_nothing_of_the_lost_attempt(jobs: Jobs, workers: Workers) -> None:
    first = workers.start("--programs")
    job = jobs.submit(program("ends_earlier.py", monitor={"metric": "val_loss", "mode": "min"}))
    jobs.await_job(job, lambda view: view["checkpoint"] and view["best"] and view["best"]["epoch"] > 2)
    first.kill_group()
    workers.start("--programs")
    ended = jobs.await_end(job)
    assert (ended["status"], ended["metrics"], ended["best"]["epoch"]) == ("succeeded", {"val_loss": 1.0}, 1)
    assert [row["epoch"] for row in jobs.items(job, "history")] == [1]
    assert jobs.series(job, "loss") == {"loss": [(1, 1.0)]}
