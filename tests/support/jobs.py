"""Jobs as tests submit and watch them: over REST alone."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import httpx

DEADLINE_SECONDS = 120.0
TERMINAL = {"succeeded", "failed", "cancelled"}
TINY: dict[str, Any] = {
    "name": "tiny",
    "network": {"name": "network-2", "width": 0.02, "dropout": 0.1},
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
    """A job of seconds, changed at its top level."""
    return {**copy.deepcopy(TINY), **changes}


class Jobs:
    """One service's jobs."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def submit(self, spec: dict[str, Any]) -> str:
        """The id of a new job."""
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
        """Pause, resume or cancel."""
        answer = self._http.post(f"/v1/jobs/{job}/{action}")
        assert answer.is_success, answer.text

    def items(self, job: str, what: str) -> list[dict[str, Any]]:
        """A list below a job: history, attempts, events, checkpoints, artifacts or stages."""
        answer = self._http.get(f"/v1/jobs/{job}/{what}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def extensions(self) -> list[str]:
        """What workers have installed beside Baton, by name."""
        return [one["name"] for one in self._http.get("/v1/extensions").json()["items"]]

    def download(self, job: str, name: str) -> bytes:
        """An artifact's bytes."""
        answer = self._http.get(f"/v1/jobs/{job}/artifacts/{name}", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.content

    def await_job(
        self, job: str, condition: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """The job once the condition holds. Fails with what there is to know when it does not in time."""
        deadline = time.monotonic() + seconds
        seen: list[str] = []
        while time.monotonic() < deadline:
            view = self.show(job)
            if not seen or seen[-1] != view["status"]:
                seen.append(view["status"])
            if condition(view):
                return view
            if view["status"] in TERMINAL:
                break
            time.sleep(0.05)
        raise AssertionError(f"{seen}: {view}\n{self.items(job, 'events')}")

    def await_step(self, job: str, step: int) -> dict[str, Any]:
        """The job once it has told of this step."""
        return self.await_job(job, lambda view: bool(view["progress"]) and view["progress"]["global_step"] >= step)

    def await_end(self, job: str, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """The job once it has ended."""
        return self.await_job(job, lambda view: view["status"] in TERMINAL, seconds)
