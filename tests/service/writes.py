"""Each write of a worker, and everything that a write could change."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.service.helpers import Api, WorkerHand, timeless

WRITES: dict[str, Callable[[WorkerHand], httpx.Response]] = {
    "heartbeat": lambda hand: hand.beat("training"),
    "checkpoint": lambda hand: hand.checkpoint(99, "latest", "best"),
    "epoch": lambda hand: hand.epoch(1, 1, 1),
    "artifact": lambda hand: hand.artifact(),
    "note": lambda hand: hand.note(),
    "series": lambda hand: hand.series(loss=[(99, 0.5)]),
    "rollback": lambda hand: hand.roll_back(0),
    "rollback of rows": lambda hand: hand.roll_back_rows(0),
    "quarantine": lambda hand: hand.post("quarantine", prefix="jobs/none", message="bad"),
    "finish": lambda hand: hand.finish("succeeded"),
}


def everything(api: Api, job_id: str) -> list[object]:
    """Everything that the API shows of a job."""
    lists = ("stages", "checkpoints", "history", "events", "artifacts", "series")
    attempts = [timeless(attempt) for attempt in api.items(job_id, "attempts")]
    return [timeless(api.job(job_id)), attempts, *(api.items(job_id, what) for what in lists)]
