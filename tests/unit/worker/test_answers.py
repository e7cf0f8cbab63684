"""Only the service's own responses have an effect: after a response of a proxy or an ingress the worker tries again."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from baton.domain.errors import LeaseLost
from baton.domain.wire import Grant, Heartbeat, Note, Phase
from tests.support.answers import refusal
from tests.unit.worker.mock_service import speaking_to
from worker.api_client.client import Refused, ServiceUnavailable
from worker.attempt.lease import Lease

SOON = 60.0
PROBLEM = {"content-type": "application/problem+json"}
BEAT = Heartbeat(fence=1, phase=Phase.TRAINING)
NOTE = Note(fence=1, kind="hello", message="hello")
FOREIGN = [
    (404, {"content-type": "text/plain"}, "default backend - 404"),
    (403, {"content-type": "text/html"}, "<html>blocked</html>"),
    (502, {"content-type": "text/html"}, "<html>bad gateway</html>"),
    (401, {}, ""),
    (302, {"location": "https://login.example/"}, ""),
    (301, {"location": "https://baton.example/v1/workers", "content-type": "text/html"}, "moved"),
    (200, {"content-type": "text/html"}, "<html>sign in</html>"),
    (404, {"content-type": "application/json"}, '{"message": "no Route matched with those values"}'),
    (409, {"content-type": "application/json"}, '{"code": "lease-lost", "detail": "not a problem document"}'),
    (409, PROBLEM, '{"type": "about:blank", "title": "x", "status": 409, "detail": "x", "code": "lease-lost"}'),
    (404, PROBLEM, '{"type": "urn:baton:problem:", "title": "x", "status": 404, "detail": "x", "code": ""}'),
    (404, PROBLEM, "<html>"),
]


@pytest.mark.parametrize(("status", "headers", "text"), FOREIGN)
def test_a_foreign_answer_says_that_the_service_is_away(status: int, headers: dict[str, str], text: str) -> None:
    client = speaking_to(lambda _request: httpx.Response(status, headers=headers, text=text or None))
    if "content-type" not in headers:
        client = speaking_to(lambda _request: httpx.Response(status, headers=headers))
    calls: list[Any] = [
        lambda: client.heartbeat("a", BEAT),
        lambda: client.note("a", NOTE),
        lambda: client.job("a", "j"),
    ]
    for call in calls:
        with pytest.raises(ServiceUnavailable, match=f"HTTP {status}.*does not come from a Baton service"):
            call()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "unauthorized", Refused),
        (403, "forbidden", Refused),
        (404, "not-found", Refused),
        (409, "lease-lost", LeaseLost),
        (422, "invalid-request", Refused),
        (429, "too-many-writes", Refused),
        (429, "too-many-at-once", ServiceUnavailable),
        (408, "body-too-slow", ServiceUnavailable),
        (500, "internal-error", ServiceUnavailable),
        (503, "busy", ServiceUnavailable),
    ],
)
def test_the_services_own_answer_counts(status: int, code: str, error: type[Exception]) -> None:
    client = speaking_to(lambda _request: refusal(status, code, "because"))
    with pytest.raises(error, match="because"):
        client.heartbeat("a", BEAT)


def test_an_ingress_that_answers_once_does_not_end_the_attempt() -> None:
    beats, enough = [0], threading.Event()

    def answer(_request: httpx.Request) -> httpx.Response:
        beats[0] += 1
        if beats[0] == 2:
            return httpx.Response(404, headers={"content-type": "text/plain"}, text="default backend - 404")
        if beats[0] == 4:
            enough.set()
        return httpx.Response(200, json={"directive": "continue", "lease_seconds": 30})

    grant = Grant(
        attempt_id="a", job_id="j", attempt=1, fence=1, lease_seconds=30, heartbeat_seconds=0.01, spec={},
        checkpoints=(), seconds_between_interruptions=1,
    )  # fmt: skip
    with Lease(speaking_to(answer), grant) as lease:
        assert enough.wait(SOON)
        lease.check()
