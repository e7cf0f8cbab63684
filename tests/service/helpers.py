"""Short calls for a user and a worker of the HTTP API."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from baton.domain.manifest import MANIFEST, artifact_object, checkpoint_parts, checkpoint_prefix
from baton.storage import BlobStore
from service.api.context import Services
from service.db.auth_tables import ApiToken
from service.db.tables import Attempt

# Tests run on SQLite unless a mark names another database; the nearest mark counts. Use ON_BOTH for a test that depends
# on the database: locks, races, its clock, unique keys, query plans, migrations.
ON_SQLITE = pytest.mark.databases("sqlite")
ON_POSTGRESQL = pytest.mark.databases("postgresql")
ON_BOTH = pytest.mark.databases("sqlite", "postgresql")
STREAM = {"Accept": "text/event-stream"}
SPEC: dict[str, Any] = {
    "name": "small",
    "network": {"name": "network-2", "width": 0.1},
    "dataset": {"name": "digits"},
    "stages": [
        {"name": "warm", "image_size": 16, "batch_size": 64, "epochs": 2},
        {"name": "polish", "image_size": 32, "batch_size": 32, "epochs": 1},
    ],
}


def spec(**changes: Any) -> dict[str, Any]:
    return {**SPEC, **changes}


def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Call the condition until its value is true, and return that value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "the condition was not true in time"
        time.sleep(0.02)


TIMES = ("goodput", "seconds", "gpu_hours", "cost", "as_of", "beat_at", "silent_seconds", "lease_expires_at")


def timeless(view: dict[str, Any]) -> dict[str, Any]:
    """A job or an attempt without the fields that change as time passes."""
    found = {name: value for name, value in view.items() if name not in TIMES}
    if found.get("checkpoint"):
        found["checkpoint"] = {name: value for name, value in found["checkpoint"].items() if name != "age_seconds"}
    return found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def worker_info(name: str = "w1") -> dict[str, Any]:
    return {"name": name, "host": "box", "pid": 7, "version": "0.1.0", "device": "cpu"}


@dataclass
class Api:
    """The HTTP API of a service, and its parts for tests that look inside."""

    http: TestClient | httpx.Client
    services: Services = field(repr=False, default=None)  # type: ignore[assignment]
    store: BlobStore | None = None

    def put(self, name: str, content: bytes) -> str:
        """Write an object as a worker does, and return its CRC32C.

        Set `store` if the service runs in another process.
        """
        return str((self.store or self.services.store).put(name, content).crc32c)

    def token(self, *scopes: str, name: str | None = None, **more: Any) -> dict[str, Any]:
        """Create a token. The field `token` of the result is its secret."""
        body = {"name": name or f"t-{uuid.uuid4().hex[:8]}", "scopes": list(scopes), **more}
        answer = self.http.post("/v1/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def submit(self, body: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/jobs", json=body or spec(**changes))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/jobs/{job_id}").json())

    def items(self, job_id: str, what: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/v1/jobs/{job_id}/{what}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def kinds(self, job_id: str) -> list[str]:
        events = self.items(job_id, "events")
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        return [event["kind"] for event in events]

    def ask(self, job_id: str, action: str) -> httpx.Response:
        return self.http.post(f"/v1/jobs/{job_id}/{action}")

    def attempt(self, job_id: str) -> dict[str, Any]:
        return self.items(job_id, "attempts")[-1]

    def claim(self, job_id: str, name: str = "w1", token: str | None = None) -> WorkerHand:
        """Claim the job's attempt.

        `token`: the worker's token. Without one, the worker uses the administrator's token, which has all scopes.
        """
        hand = WorkerHand(self, self.attempt(job_id)["id"], job_id, name, token=token)
        answer = hand.claim()
        assert answer.status_code == 200, answer.text
        hand.grant = answer.json()
        return hand

    def running(self, name: str = "w1", **changes: Any) -> WorkerHand:
        """Submit a job, and claim it with a worker that reports the phase `training`."""
        hand = self.claim(self.submit(**changes)["id"], name)
        hand.beat("training")
        return hand

    def set_attempt(self, attempt_id: str, **values: Any) -> None:
        """Change the row of an attempt directly, where a test would otherwise have to wait."""
        with self.services.database.write() as session:
            session.execute(update(Attempt).where(Attempt.id == attempt_id).values(**values))

    def let_lease_run_out(self, attempt_id: str) -> None:
        from service.db.types import db_now

        self.set_attempt(attempt_id, lease_expires_at=db_now())

    def let_token_expire(self, token_id: str) -> None:
        from service.db.types import db_now

        with self.services.database.write() as session:
            session.execute(update(ApiToken).where(ApiToken.id == token_id).values(expires_at=db_now()))
        self.services.authenticator.forget()

    def conduct(self) -> None:
        """Run one pass of the reconciler."""
        self.services.reconciler.run_once()


@dataclass
class WorkerHand:
    """One worker with one claim."""

    api: Api
    attempt_id: str
    job_id: str
    name: str = "w1"
    claim_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    token: str | None = None
    grant: dict[str, Any] = field(default_factory=dict)
    saves: int = 0

    @property
    def fence(self) -> int:
        return int(self.grant["fence"])

    @property
    def headers(self) -> dict[str, str]:
        """After the claim: the header with the attempt's token."""
        return bearer(self.grant["token"]) if "token" in self.grant else {}

    def post(self, verb: str, **body: Any) -> httpx.Response:
        url, message = f"/v1/attempts/{self.attempt_id}/{verb}", {"fence": self.fence, **body}
        return self.api.http.post(url, json=message, headers=self.headers)

    def claim(self) -> httpx.Response:
        body = {"claim_id": self.claim_id, "worker": worker_info(self.name)}
        headers = bearer(self.token) if self.token else {}
        return self.api.http.post(f"/v1/attempts/{self.attempt_id}/claim", json=body, headers=headers)

    def beat(self, phase: str = "training", **more: Any) -> httpx.Response:
        return self.post("heartbeat", phase=phase, **more)

    def prefix(self, step: int) -> str:
        self.saves += 1
        return checkpoint_prefix(self.job_id, step, self.fence, self.saves)

    def checkpoint(self, step: int, *roles: str, written: bool = True, **more: Any) -> httpx.Response:
        """Commit a checkpoint.

        Its manifest is written first, unless `written` is false or the prefix is not a checkpoint's.
        """
        prefix = more.pop("prefix", None) or self.prefix(step)
        there = written and checkpoint_parts(prefix) is not None
        body = {
            "prefix": prefix,
            "manifest_crc32c": self.api.put(f"{prefix}/{MANIFEST}", prefix.encode()) if there else "00000000",
            "position": {"stage": 0, "epoch": 0, "step": step, "global_step": step},
            "bytes": 10,
            "seconds": 0.1,
            "roles": list(roles) or ["latest"],
        }
        return self.post("checkpoints", **{**body, **more})

    def epoch(self, number: int, stage: int, stage_epoch: int, **more: Any) -> httpx.Response:
        row = {
            "epoch": number,
            "stage": stage,
            "stage_epoch": stage_epoch,
            "global_step": 10 * number,
            "image_size": 16,
            "batch_size": 64,
            "learning_rate": 0.001,
            "loss": 1.0 / number,
            "accuracy": 0.5,
            "val_loss": 1.1 / number,
            "val_accuracy": 0.4,
            "attempt": self.grant["attempt"],
            "seconds": 1.0,
            "images_per_second": 100.0,
            "finished_at": "2026-01-01T00:00:00Z",
        }
        row.update(more.pop("row", {}))
        return self.post("epochs", row=row, **more)

    def artifact(self, name: str = "best.keras", content: bytes = b"model", **more: Any) -> httpx.Response:
        """Write the object and commit the artifact."""
        self.saves += 1
        target = more.pop("object", None) or artifact_object(self.job_id, self.fence, self.saves, name)
        crc32c = self.api.put(target, content)
        body = {"name": name, "object": target, "size": len(content), "crc32c": crc32c}
        return self.post("artifacts", **{**body, "content_type": "application/octet-stream", **more})

    def series(self, **series: list[tuple[int, float]]) -> httpx.Response:
        """Send points, as (step, value), of these series."""
        points = [
            {"name": name, "step": step, "value": value if math.isfinite(value) else str(value), "at": 1.8e9}
            for name, values in series.items()
            for step, value in values
        ]
        return self.post("series", points=points)

    def roll_back(self, after_step: int) -> httpx.Response:
        return self.post("series/rollback", after_step=after_step)

    def roll_back_rows(self, after_epoch: int, best: dict[str, Any] | None = None) -> httpx.Response:
        return self.post("epochs/rollback", after_epoch=after_epoch, best=best)

    def note(self) -> httpx.Response:
        return self.post("notes", kind="hello", message="from the worker", data={"a": 1})

    def finish(self, outcome: str, **more: Any) -> httpx.Response:
        return self.post("finish", outcome=outcome, **more)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The response has this status and this error code, and the form that all error bodies have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:baton:problem:{code}"
    assert body["title"]
    assert body["detail"]
    return body
