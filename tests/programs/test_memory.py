"""The memory of the worker does not depend on the size of a checkpoint."""

from __future__ import annotations

import re

from tests.support.jobs import Jobs
from tests.support.program_jobs import program
from tests.support.worker import Workers

SIZE = 400 << 20
MOST_KIBIBYTES = 200_000


def test_a_large_checkpoint_is_saved_and_restored_in_little_memory(jobs: Jobs, workers: Workers) -> None:
    workers.start("--programs")
    params = {"steps": 4, "epoch_steps": 0, "save_every": 2, "size": SIZE, "await_saves": True}
    job = jobs.submit(program("chain.py", params={**params, "kills": {"1": ["program", 3]}}))
    assert jobs.await_end(job)["status"] == "succeeded"
    saved = jobs.items(job, "checkpoints")
    assert all(one["bytes"] > SIZE for one in saved)
    starts = {one["attempt"]: one["start_step"] for one in jobs.items(job, "attempts")}
    assert starts == {1: 0, 2: 2}
    (note,) = (one["message"] for one in jobs.items(job, "events") if one["kind"] == "program")
    assert int(re.findall(r"\d+", note)[0]) < MOST_KIBIBYTES
