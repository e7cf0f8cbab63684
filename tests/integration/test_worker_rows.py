"""Real workers in the service's list: one row for each worker, whatever processes it has, and a regular end is not
a loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.jobs import Jobs
from tests.support.service import ServiceProcess
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        yield made


def by_pid(jobs: Jobs) -> dict[int, dict[str, Any]]:
    rows = jobs.workers()
    assert len({row["pid"] for row in rows}) == len(rows)
    return {row["pid"]: row for row in rows}


def test_a_worker_is_one_row_until_it_says_that_it_ends(jobs: Jobs, workers: Workers) -> None:
    """With Redis and with polling, without a configured name.

    The three training processes of each worker have no rows.
    """
    roads = {"redis": workers.start("--queue", "redis", BATON_WORKER_NAME="")}
    roads["http"] = workers.start("--poll", "--queue", "http", BATON_WORKER_NAME="")
    pids = {worker.pid for worker in roads.values()}
    for road in roads:
        for _ in range(3):
            assert jobs.await_end(jobs.submit(fast(queue=road)))["status"] == "succeeded"
    long = {road: jobs.submit(fast(queue=road, epochs=1, steps=100_000, every=50_000)) for road in roads}
    for road, job in long.items():
        jobs.await_job(job, lambda view: view["status"] == "running" and view["phase"] == "training")
        rows = by_pid(jobs)
        row = rows[roads[road].pid]
        assert (set(rows), row["state"], row["job_id"], row["job_name"]) == (pids, "busy", job, "fast")
        assert row["name"] == jobs.show(job)["worker"] == f"{row['host']}-{row['pid']}"
        assert row["queues"] == [road]
    for worker in roads.values():
        worker.terminate()
    until(lambda: {row["state"] for row in jobs.workers()} == {"ended"}, 60, "the last reports of both workers")
    assert set(by_pid(jobs)) == pids
