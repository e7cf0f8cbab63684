"""Submits and watches jobs over REST alone."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.polling import pauses

DEADLINE_SECONDS = 120.0
TERMINAL = {"succeeded", "failed", "cancelled"}
TINY: dict[str, Any] = {
    "name": "tiny",
    "network": {"name": "tiny-cnn", "width": 0.2, "dropout": 0.1},
    "dataset": {"name": "digits", "per_class": 40},
    "stages": [
        {"image_size": 8, "batch_size": 16, "epochs": 3, "steps_per_epoch": 60, "augmentation": "paper-1"},
        {
            "image_size": 8,
            "batch_size": 16,
            "epochs": 2,
            "steps_per_epoch": 40,
            "start_from": "best",
            "schedule": {"name": "cyclic", "step_size": 20},
        },
    ],
    "checkpoint": {"every": "20 steps"},
    "retry": {"backoff": "1s"},
}


def tiny(**changes: Any) -> dict[str, Any]:
    """The spec of a job that takes seconds. `changes` replace its top-level fields."""
    return {**copy.deepcopy(TINY), **changes}


class Jobs:
    """The jobs of one service."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def submit(self, spec: dict[str, Any]) -> str:
        """Submit a job, and return its id."""
        answer = self._http.post("/v1/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def show(self, job: str) -> dict[str, Any]:
        """The job as a user sees it."""
        answer = self._http.get(f"/v1/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def workers(self) -> list[dict[str, Any]]:
        """The service's list of workers."""
        return list(self._http.get("/v1/workers").json()["items"])

    def ask(self, job: str, action: str) -> None:
        """Pause, resume or cancel the job."""
        answer = self._http.post(f"/v1/jobs/{job}/{action}")
        assert answer.is_success, answer.text

    def items(self, job: str, what: str) -> list[dict[str, Any]]:
        """A list of a job: history, attempts, events, checkpoints, artifacts or stages."""
        answer = self._http.get(f"/v1/jobs/{job}/{what}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def series(self, job: str, *names: str) -> dict[str, list[tuple[int, float]]]:
        """All points of series, by name: step and value."""
        answer = self._http.get(f"/v1/jobs/{job}/series", params={"name": names, "points": 10_000})
        assert answer.status_code == 200, answer.text
        return {one["name"]: [(int(p[0]), float(p[1])) for p in one["points"]] for one in answer.json()["items"]}

    def extensions(self) -> list[str]:
        """The names of the extensions that workers have installed."""
        return [one["name"] for one in self._http.get("/v1/extensions").json()["items"]]

    def download(self, job: str, name: str) -> bytes:
        """The bytes of an artifact."""
        answer = self._http.get(f"/v1/jobs/{job}/artifacts/{name}", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.content

    def await_job(
        self, job: str, condition: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """Wait until the condition holds, and return the job.

        In case of a timeout, fail with all that is known of the job.
        """
        deadline = time.monotonic() + seconds
        seen: list[str] = []
        for pause in pauses():
            view = self.show(job)
            if not seen or seen[-1] != view["status"]:
                seen.append(view["status"])
            if condition(view):
                return view
            if view["status"] in TERMINAL or time.monotonic() > deadline:
                break
            time.sleep(pause)
        raise AssertionError(f"{seen}: {view}\n{self.items(job, 'events')}")

    def await_step(self, job: str, step: int) -> dict[str, Any]:
        """Wait until the job has reported this step, and return the job."""
        return self.await_job(job, lambda view: bool(view["progress"]) and view["progress"]["global_step"] >= step)

    def await_end(self, job: str, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait until the job has ended, and return the job."""
        return self.await_job(job, lambda view: view["status"] in TERMINAL, seconds)
