"""Jobs that are programs, and a worker that runs them, in few words."""

from __future__ import annotations

from typing import Any

import httpx

from baton.domain.extensions import PROGRAMS
from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from tests.service.helpers import Api, WorkerHand, worker_info

PROGRAM: dict[str, Any] = {
    "name": "own",
    "program": {"command": ["python", "train.py"], "environment": {"OMP_NUM_THREADS": "2"}},
    "params": {"lr": 3e-4, "layers": [64, 64]},
    "monitor": {"metric": "val_loss", "mode": "min"},
}
NEW = {"protocol": PROTOCOL, "spec_version": SPEC_VERSION}
STEPS = {"stage": 0, "stages": 0, "epoch": 0, "epochs": 0, "step": 0, "steps": 0, "total_steps": 0}


def program(**changes: Any) -> dict[str, Any]:
    return {**PROGRAM, **changes}


def worker(name: str = "p1", **more: Any) -> dict[str, Any]:
    return {**worker_info(name), **NEW, "extensions": [PROGRAMS], **more}


def claim(api: Api, job_id: str, asker: dict[str, Any] | None = None) -> tuple[WorkerHand, httpx.Response]:
    """A claim of the job's attempt, by default by a worker that runs programs."""
    hand = WorkerHand(api, api.attempt(job_id)["id"], job_id, "p1")
    body = {"claim_id": hand.claim_id, "worker": asker or worker()}
    return hand, api.http.post(f"/v1/attempts/{hand.attempt_id}/claim", json=body)


def claimed(api: Api, job_id: str) -> WorkerHand:
    hand, answer = claim(api, job_id)
    assert answer.status_code == 200, answer.text
    hand.grant = answer.json()
    return hand


def at(step: int, **more: Any) -> dict[str, Any]:
    """The progress of a program at a global step."""
    return {**STEPS, "global_step": step, **more}
