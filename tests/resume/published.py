"""`make published DATA=...`: trains the four published plans, made small, with service and worker. Each is killed
twice.

DATA is Tiny ImageNet's directory or zip. The reports are kept in a folder for inspection.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.support.jobs import Jobs
from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import Workers, workers

PLANS = ("paper-network-1", "paper-network-2", "report-model-1", "report-model-2")
SMALL: dict[str, Any] = {
    "width": 0.05,
    "dataset.classes": 10,
    "dataset.per_class": 60,
    "stages.*.epochs": 2,
    "stages.*.steps_per_epoch": 6,
    "checkpoint.every": "4 steps",
    "retry.backoff": "1s",
}
KILLS = (1 / 3, 2 / 3)
PATIENCE_SECONDS = 1800.0


def submitted(http: httpx.Client, plan: str, data: str) -> str:
    """Submit the plan's job, and return its id."""
    answer = http.post("/v1/jobs", json={"plan": plan, "set": {**SMALL, "dataset.path": data}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def run(jobs: Jobs, made: Workers, job: str) -> dict[str, Any]:
    """Train the job to its end, with SIGKILL to the whole worker at each of KILLS. Return the job."""
    for share in KILLS:
        worker = made.start(BATON_REPORTS="1")
        jobs.await_job(job, lambda view, share=share: done(view) >= share, PATIENCE_SECONDS)  # type: ignore[misc]
        worker.kill_group()
    made.start(BATON_REPORTS="1")
    ended = jobs.await_end(job, PATIENCE_SECONDS)
    made.all[-1].kill_group()
    return ended


def done(view: dict[str, Any]) -> float:
    """The share of all steps that is done. It is 0 before the first checkpoint."""
    return float(view["progress"]["fraction"]) if view["progress"] and view["checkpoint"] else 0.0


def findings(jobs: Jobs, job: str, ended: dict[str, Any]) -> list[str]:
    """Descriptions of everything that is wrong."""
    epochs = [row["epoch"] for row in jobs.items(job, "history")]
    wanted = list(range(1, 2 * len(ended["spec"]["stages"]) + 1))
    found = [] if ended["status"] == "succeeded" else [f"it ended as {ended['status']}: {ended['message']}"]
    found += [] if epochs == wanted else [f"its history has epochs {epochs}"]
    return found + ([] if ended["attempts"] == 3 else [f"{ended['attempts']} attempts where two kills make three"])


def keep(jobs: Jobs, job: str, folder: Path) -> None:
    """Save the report and its figures."""
    folder.mkdir(parents=True)
    for one in jobs.items(job, "artifacts"):
        if one["name"].startswith(("report", "evaluation")):
            (folder / one["name"]).write_bytes(jobs.download(job, one["name"]))


def _all(service: ServiceProcess, folder: Path, plans: list[str], data: str) -> list[str]:
    wrong = []
    with service.client() as http, workers(service, folder) as made:
        jobs = Jobs(http)
        for plan in plans:
            job = submitted(http, plan, data)
            ended = run(jobs, made, job)
            found = findings(jobs, job, ended)
            results = ", ".join(f"{name} {value:.3g}" for name, value in sorted(ended["results"].items()))
            print(f"{plan}: {'; '.join(found) or 'right'}; {ended['preemptions']} kills; {results}", flush=True)
            keep(jobs, job, folder / "reports" / plan)
            wrong += found
    return wrong


def main() -> int:
    """Run the plans. The exit status is 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(prog="make published DATA=...", description=__doc__)
    parser.add_argument("data", help="Tiny ImageNet's directory or zip")
    parser.add_argument("--plan", action="append", choices=PLANS, help="only this one")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="baton-published-"))
    settings = {"BATON_LEASE_SECONDS": "10", "BATON_HEARTBEAT_SECONDS": "2"}
    with running_redis() as redis, running_service(folder, redis.url, **settings) as service:
        wrong = _all(service, folder, options.plan or [*PLANS], options.data)
    print(f"reports are in {folder / 'reports'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
