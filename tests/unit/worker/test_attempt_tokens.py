"""The token that a worker sends with each call."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from baton.domain.errors import LeaseLost
from baton.domain.wire import (
    Claim,
    Finish,
    Grant,
    Heartbeat,
    Note,
    Outcome,
    Phase,
    WorkerInfo,
    WorkerReport,
)
from tests.support.answers import refusal
from tests.unit.worker.mock_service import speaking_to
from worker.api_client.client import Refused
from worker.ipc.messages import Held

ME = WorkerInfo(name="w", host="h", pid=1, version="0")
CLAIM = Claim(claim_id="c" * 32, worker=ME)


def grant(attempt: str, token: str | None) -> dict[str, Any]:
    made = Grant(
        attempt_id=attempt,
        job_id="j",
        attempt=1,
        fence=1,
        lease_seconds=30,
        heartbeat_seconds=10,
        spec={},
        checkpoints=(),
        seconds_between_interruptions=1.0,
        token=token,
    )
    found: dict[str, Any] = json.loads(made.model_dump_json())
    if token is None:
        found.pop("token")  # the grant of an older service has no token
    return found


@pytest.mark.parametrize(("given", "used"), [("of-a1", "of-a1"), (None, "own")])
def test_an_attempt_speaks_with_its_own_token(given: str | None, used: str) -> None:
    heard: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1")
        heard.append((path, request.headers["Authorization"].removeprefix("Bearer ")))
        if path.endswith("claim"):
            return httpx.Response(200, json=grant("a1", given))
        return httpx.Response(200, json={"directive": "continue", "lease_seconds": 30})

    client = speaking_to(answer)
    client.claim("a1", CLAIM)
    client.heartbeat("a1", Heartbeat(fence=1, phase=Phase.TRAINING))
    client.note("a1", Note(fence=1, kind="x", message="y"))
    client.note("a2", Note(fence=1, kind="x", message="y"))
    client.report(WorkerReport(**ME.model_dump()))
    assert heard == [
        ("/attempts/a1/claim", "own"),
        ("/attempts/a1/heartbeat", used),
        ("/attempts/a1/notes", used),
        ("/attempts/a2/notes", "own"),
        ("/workers", "own"),
    ]


def test_what_a_training_process_held_is_told_of_with_its_token() -> None:
    heard: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request.headers["Authorization"])
        return httpx.Response(200, json={})

    client, held = speaking_to(answer), Held("a1", 1, "j", 1, "of-a1")
    assert "of-a1" not in repr(held)
    assert "of-a1" not in repr(Grant.model_validate(grant("a1", "of-a1")))
    client.hold(held.attempt_id, held.token)
    client.finish("a1", Finish(fence=1, outcome=Outcome.FAILED))
    assert heard == ["Bearer of-a1"]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(409, "lease-lost", LeaseLost), (401, "unauthorized", Refused), (403, "forbidden", Refused)],
)
def test_a_lost_lease_is_told_from_a_token_that_is_refused(status: int, code: str, error: type[Exception]) -> None:
    client = speaking_to(lambda _request: refusal(status, code))
    with pytest.raises(error):
        client.heartbeat("a1", Heartbeat(fence=1, phase=Phase.TRAINING))
