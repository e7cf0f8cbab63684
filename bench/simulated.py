"""Simulated workers: they claim attempts and renew leases over HTTP, and do not train."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from baton.domain.manifest import MANIFEST, checkpoint_prefix
from baton.storage import BlobStore
from bench.http_load import Target
from tests.support.jobs import tiny


@dataclass(frozen=True)
class Held:
    """An attempt that a simulated worker holds."""

    job: str
    attempt: str
    fence: int

    def beat(self, target: Target, step: int) -> bytes:
        """The heartbeat of a training worker."""
        progress = {"stage": 1, "stages": 2, "epoch": 1, "epochs": 5, "step": step, "steps": 60}
        body = {
            "fence": self.fence,
            "phase": "training",
            "progress": {**progress, "global_step": step, "total_steps": 260, "images_per_second": 900.0},
            "metrics": {"loss": 0.5},
            "seconds": {"training": float(step), "startup": 2.0},
            "interval_seconds": 15.0,
        }
        return target.request("POST", f"/v1/attempts/{self.attempt}/heartbeat", json.dumps(body).encode())

    def commit(self, store: BlobStore, step: int) -> dict[str, Any]:
        """A commit message for a checkpoint at this step, whose manifest it writes as a worker does."""
        prefix = checkpoint_prefix(self.job, step, self.fence, step)
        manifest = store.put(f"{prefix}/{MANIFEST}", b"{}")
        return {
            "fence": self.fence,
            "prefix": prefix,
            "manifest_crc32c": manifest.crc32c,
            "position": {"stage": 0, "epoch": 0, "step": step, "global_step": step},
            "bytes": 1_000_000,
            "seconds": 0.1,
            "roles": ["latest"],
        }


def hold(http: httpx.Client, many: int) -> list[Held]:
    """Submit jobs and claim their attempts."""
    held = []
    for number in range(many):
        job = http.post("/v1/jobs", json=tiny(name=f"held-{number}")).json()["id"]
        attempt = http.get(f"/v1/jobs/{job}/attempts").json()["items"][0]["id"]
        worker = {"name": f"sim-{number}", "host": "bench", "pid": number, "version": "0"}
        grant = http.post(f"/v1/attempts/{attempt}/claim", json={"claim_id": uuid.uuid4().hex, "worker": worker})
        held.append(Held(job, attempt, grant.raise_for_status().json()["fence"]))
    return held
