"""Simulated workers: they claim attempts and renew leases over HTTP, and do not train."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from baton.domain.manifest import MANIFEST, checkpoint_prefix
from baton.domain.protocol_versions import SPEC_VERSION
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
        """The message that commits a checkpoint at this step. Writes the manifest first, as a worker does."""
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


def worker_info(name: str, pid: int = 1) -> dict[str, Any]:
    """A worker that may claim any job of this version."""
    return {"name": name, "host": "bench", "pid": pid, "version": "0", "spec_version": SPEC_VERSION}


def hold(http: httpx.Client, many: int) -> list[Held]:
    """Submit jobs and claim their attempts."""
    held = []
    for number in range(many):
        job = http.post("/v1/jobs", json=tiny(name=f"held-{number}")).json()["id"]
        attempt = http.get(f"/v1/jobs/{job}/attempts").json()["items"][0]["id"]
        worker = worker_info(f"sim-{number}", number)
        grant = http.post(f"/v1/attempts/{attempt}/claim", json={"claim_id": uuid.uuid4().hex, "worker": worker})
        held.append(Held(job, attempt, grant.raise_for_status().json()["fence"]))
    return held


def train(http: httpx.Client, store: BlobStore, job: str, attempt: str) -> None:
    """Report a short job from claim to end, as a worker does."""
    claim = {"claim_id": uuid.uuid4().hex, "worker": worker_info("crowd")}
    grant = http.post(f"/v1/attempts/{attempt}/claim", json=claim).raise_for_status().json()
    http.headers["Authorization"], own = f"Bearer {grant['token']}", http.headers["Authorization"]
    fence = grant["fence"]
    score = {"loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.88, "learning_rate": 1e-3}
    clock = {"attempt": 1, "seconds": 9.0, "images_per_second": 100.0, "finished_at": "2026-01-01T00:00:00Z"}
    try:
        beat = {"fence": fence, "phase": "training", "seconds": {"training": 1.0}}
        http.post(f"/v1/attempts/{attempt}/heartbeat", json=beat).raise_for_status()
        for epoch in (1, 2, 3):
            where = {"epoch": epoch, "stage": 1, "stage_epoch": epoch, "global_step": 60 * epoch}
            row = {**where, "image_size": 8, "batch_size": 16, **score, **clock}
            http.post(f"/v1/attempts/{attempt}/epochs", json={"fence": fence, "row": row}).raise_for_status()
        commit = Held(job, attempt, fence).commit(store, 180)
        http.post(f"/v1/attempts/{attempt}/checkpoints", json=commit).raise_for_status()
        http.post(f"/v1/attempts/{attempt}/finish", json={"fence": fence, "outcome": "succeeded"}).raise_for_status()
    finally:
        http.headers["Authorization"] = own
