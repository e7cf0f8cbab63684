"""Two projects in one service: one with something of everything, and the tokens of the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi.testclient import TestClient

from baton.domain.manifest import log_segment
from tests.service.helpers import Api, WorkerHand, bearer, spec, worker_info
from tests.service.program_jobs import NEW
from tests.service.pushes import Push, sha256
from tests.support.bundles import bundle
from tests.support.service_client import another_client

THEIRS, OURS = "aster", "birch"
SCOPES = ("read", "submit", "data", "programs", "work")


def member(api: Api, project: str, *scopes: str, **more: Any) -> Api:
    """A client with a token of the project."""
    found = api.token(*(scopes or SCOPES), project=project, name=more.pop("name", f"{project}-{len(scopes)}"), **more)
    http: TestClient = another_client(api.http)
    http.headers.update(bearer(found["token"]))
    return Api(http, api.services)


@dataclass
class Things:
    """What a project has. Each name contains the project's name. `secrets`: texts that no other project may get."""

    project: str
    api: Api
    hand: WorkerHand
    queued: dict[str, Any]
    child: dict[str, Any]
    push: Push
    code: str
    secrets: set[str] = field(default_factory=set)

    @property
    def ids(self) -> dict[str, str]:
        """Values for the parameters of paths."""
        return {
            "job_id": self.hand.job_id, "attempt_id": self.hand.attempt_id, "number": "1",
            "sha256": next(iter(self.push.packs)), "project": self.project, "queue": f"{self.project}-queue",
        }  # fmt: skip


def furnish(api: Api, project: str) -> Things:
    """Create a project with jobs that run, wait and have ended, with data, code, a worker, and all that belongs to
    them."""
    assert api.http.put(f"/v1/projects/{project}", json={"max_queued": 100}).status_code == 201
    us, queue = member(api, project), f"{project}-queue"
    push = Push({f"{project}/1.png": project.encode()})
    push.push(us, f"{project}-data")
    content = bundle({f"{project}.py": project.encode()})
    code = sha256(content)
    assert us.http.put(f"/v1/code/{code}", content=content).status_code == 201
    given = {"queue": queue, "labels": {"team": project}}
    hand = claimed(us, us.submit(name=f"{project}-runs", **given)["id"], f"{project}-worker")
    hand.beat("training", progress=PROGRESS)
    assert hand.checkpoint(1, "latest", "best").is_success
    assert hand.epoch(1, 1, 1).is_success
    assert hand.artifact().is_success
    assert hand.series(**{f"{project}/loss": [(0, 0.5)]}).is_success
    assert hand.note().is_success
    api.put(log_segment(hand.job_id, 1, hand.fence, 0), f"log of {project}".encode())
    queued = us.submit(name=f"{project}-waits", **given)
    program = {"command": ["python", f"{project}.py"], "code": f"sha256:{code}"}
    data = {"train": f"{project}-data"}
    us.submit({"name": f"{project}-program", "program": program, "data": data, "queue": queue})
    child = us.submit({"clone": hand.job_id, "name": f"{project}-child"})
    report = {**worker_info(f"{project}-idle"), **NEW, "extensions": [f"network/{project}-net"], "queues": [queue]}
    assert us.http.post("/v1/workers", json={**report, "busy": False}).status_code == 204
    found = Things(project, us, hand, queued, child, push, code)
    found.secrets = {project, hand.job_id, hand.attempt_id, queued["id"], child["id"], code, push.digest, *push.packs}
    found.secrets |= {one["id"] for one in us.items(hand.job_id, "checkpoints")}
    return found


PROGRESS = {
    "stage": 1, "stages": 1, "epoch": 1, "epochs": 1, "step": 1, "steps": 10, "global_step": 1, "total_steps": 10,
}  # fmt: skip


def claimed(us: Api, job_id: str, worker: str) -> WorkerHand:
    hand = WorkerHand(us, us.attempt(job_id)["id"], job_id, worker)
    answer = hand.claim()
    assert answer.status_code == 200, answer.text
    hand.grant = answer.json()
    return hand


def leaks(answer: httpx.Response, secrets: set[str], sent: str = "") -> set[str]:
    """The secrets in the answer that the request itself did not contain."""
    text = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return {one for one in secrets if one in text and one not in sent}


__all__ = ("OURS", "SCOPES", "THEIRS", "Things", "claimed", "furnish", "leaks", "member", "spec")
