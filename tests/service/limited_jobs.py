"""Jobs with `limits.max_runtime`, and workers that know it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.service.helpers import Api, WorkerHand

LIMITS = {"max_runtime": "10m"}
NEW = {"protocol": 3, "spec_version": 3}


def claim(api: Api, job_id: str, name: str = "w1") -> WorkerHand:
    hand = WorkerHand(api, api.attempt(job_id)["id"], job_id, name)
    body = {"claim_id": f"claim-of-{name}", "worker": {"name": name, "host": "h", "pid": 1, "version": "0", **NEW}}
    answer = api.http.post(f"/v1/attempts/{hand.attempt_id}/claim", json=body)
    assert answer.status_code == 200, answer.text
    hand.grant = answer.json()
    return hand


def running(api: Api, **changes: Any) -> WorkerHand:
    hand = claim(api, api.submit(limits=LIMITS, **changes)["id"])
    hand.beat("training")
    return hand


def held_for(api: Api, hand: WorkerHand, seconds: float) -> None:
    """Set the time of the claim to this many seconds ago."""
    api.set_attempt(hand.attempt_id, claimed_at=datetime.now(UTC) - timedelta(seconds=seconds))
