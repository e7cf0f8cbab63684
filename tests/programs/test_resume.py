"""A program is killed in each attempt, and ends with the state of an uninterrupted run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_points import PROGRAM_PLACES
from tests.support.jobs import TERMINAL, Jobs
from tests.support.program_jobs import program
from tests.support.programs.chain import final_state
from tests.support.service import ServiceProcess
from tests.support.worker import WorkerProcess, Workers
from tests.support.worker import workers as make_workers

STEPS = 60
PROGRAM_POINTS = sorted(point for place in PROGRAM_PLACES for point in (place.before, place.after) if point)
OFTEN = ("save", "uploading", "manifest", "commit")
"""Words of the points that each attempt reaches several times."""
SHOTS_A_RUN = 4


def run_to_the_end(jobs: Jobs, workers: Workers, job: str) -> dict[str, Any]:
    """Start another worker whenever the last one has died, until the job has ended."""
    worker: list[WorkerProcess] = []

    def over(view: dict[str, Any]) -> bool:
        if not worker or (worker[-1].process is not None and worker[-1].process.poll() is not None):
            worker.append(workers.start("--programs"))
        return view["status"] in TERMINAL

    return jobs.await_job(job, over)


def points(service: ServiceProcess, job: str, name: str) -> list[tuple[int, float]]:
    """All points of a series."""
    with service.client() as http:
        answer = http.get(f"/v1/jobs/{job}/series", params={"name": name, "points": 10_000})
    assert answer.status_code == 200, answer.text
    (series,) = answer.json()["items"]
    return [(int(point[0]), float(point[1])) for point in series["points"]]


def assert_uninterrupted(jobs: Jobs, service: ServiceProcess, job: str) -> None:
    """The files, the rows and the series are those of a run that nothing interrupted."""
    states = [final_state(step) for step in range(STEPS + 1)]
    assert jobs.download(job, "final.txt").decode() == states[STEPS].hex()
    rows = {row["epoch"]: (row["global_step"], row["metrics"]) for row in jobs.items(job, "history")}
    assert rows == {n: (10 * n, {"val_loss": states[10 * n][0] / 255}) for n in range(1, STEPS // 10 + 1)}
    assert points(service, job, "loss") == [(step, states[step][0] / 255) for step in range(1, STEPS + 1)]
    assert points(service, job, "train/first") == [(step, states[step][1]) for step in range(1, STEPS + 1)]


def test_a_killed_program_ends_with_the_same_state(jobs: Jobs, workers: Workers, service: ServiceProcess) -> None:
    draw = random.Random(1)
    kills = {str(n): [whom, draw.randrange(5, STEPS)] for n, whom in enumerate(("program", "runner", "worker"), 1)}
    params = {"steps": STEPS, "epoch_steps": 10, "step_seconds": 0.02, "kills": kills}
    job = jobs.submit(program("chain.py", params=params))
    view = run_to_the_end(jobs, workers, job)
    assert view["status"] == "succeeded", (view, jobs.items(job, "attempts"))
    assert_uninterrupted(jobs, service, job)


def test_a_job_that_ends_earlier_keeps_nothing_of_the_lost_attempt(
    jobs: Jobs, workers: Workers, service: ServiceProcess
) -> None:
    first = workers.start("--programs")
    job = jobs.submit(program("ends_earlier.py", monitor={"metric": "val_loss", "mode": "min"}))
    jobs.await_job(job, lambda view: view["checkpoint"] and view["best"] and view["best"]["epoch"] > 2)
    first.kill_group()
    workers.start("--programs")
    ended = jobs.await_end(job)
    assert (ended["status"], ended["metrics"], ended["best"]["epoch"]) == ("succeeded", {"val_loss": 1.0}, 1)
    assert [row["epoch"] for row in jobs.items(job, "history")] == [1]
    assert points(service, job, "loss") == [(1, 1.0)]


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(1, 6))
def test_kills_at_named_points(jobs: Jobs, service: ServiceProcess, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    often = [point for point in PROGRAM_POINTS if any(word in point for word in OFTEN)]
    first = draw.choice(often)  # then there is probably something to restore
    shots = [f"{first} 2", *(f"{point} 1" for point in draw.sample(PROGRAM_POINTS, SHOTS_A_RUN - 1))]
    (tmp_path / "shots").write_text("\n".join(shots))
    params = {"steps": STEPS, "epoch_steps": 10, "save_every": 7, "step_seconds": 0.01}
    retry = {"backoff": "1s", "max_failures": 50, "max_attempts_without_progress": 50}
    with make_workers(service, tmp_path, "tests.support.faulty_worker") as made:
        worker = made.start("--programs", "--queue", f"seed-{seed}", SHOTS=str(tmp_path / "shots"))
        job = jobs.submit(program("chain.py", params=params, retry=retry, queue=f"seed-{seed}"))
        assert jobs.await_end(job)["status"] == "succeeded", shots
        assert "killed at: " in worker.log.read_text()
    assert_uninterrupted(jobs, service, job)
