"""Requests for a stream of events: who gets one, what is refused, and what an idle stream sends."""

from __future__ import annotations

import asyncio

import pytest

import service.live.event_stream
from service.api.accepted_types import prefers
from tests.service.helpers import STREAM, Api, assert_problem


def test_silence_is_broken_by_comments(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.live.event_stream, "HEARTBEAT_SECONDS", 0.05)
    job_id, feed = api.submit()["id"], api.services.feed

    async def first_five() -> list[bytes]:
        stream = feed.stream(job_id, await feed.piece(job_id, 0))
        found = [await anext(stream) for _ in range(5)]
        await stream.aclose()
        return found

    retry, events, *rest = asyncio.run(first_five())
    assert retry == b"retry: 1000\n\n"
    assert events.count(b"data: ") == 2
    assert rest == [b": ping\n\n"] * 3


@pytest.mark.parametrize("header", ["x", "-1", "1.5", "9" * 20])
def test_a_bad_number_is_refused(api: Api, header: str) -> None:
    job_id = api.submit()["id"]
    answer = api.http.get(f"/v1/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": header})
    assert assert_problem(answer, 422, "invalid-request")["errors"][0]["field"].lower() == "last-event-id"


def test_a_stream_of_no_job(api: Api) -> None:
    assert_problem(api.http.get(f"/v1/jobs/{'0' * 32}/events", headers=STREAM), 404, "not-found")


@pytest.mark.parametrize(
    ("accept", "stream"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream, */*;q=0.1", True),
        ("application/json;q=0.5, text/event-stream", True),
        ("application/json, text/event-stream;q=0.5", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=high", False),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        (";;,=,q", False),
    ],
)
def test_who_gets_a_stream(accept: str, stream: bool) -> None:
    assert prefers(accept, "text/event-stream") is stream


def test_others_get_pages(api: Api) -> None:
    job_id = api.submit()["id"]
    for accept in ("application/json", "*/*", "text/html"):
        answer = api.http.get(f"/v1/jobs/{job_id}/events", headers={"Accept": accept, "Last-Event-ID": "1"})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["vary"] == "Accept"
        assert [event["kind"] for event in answer.json()["items"]] == ["submitted", "queued"]
    assert api.http.get(f"/v1/jobs/{job_id}/events?limit=1").json()["next_after"] == 1


def test_the_contract_names_both_forms(api: Api) -> None:
    path = api.http.get("/openapi.json").json()["paths"]["/v1/jobs/{job_id}/events"]["get"]
    assert set(path["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "204" in path["responses"]
    assert "Last-Event-ID" in [parameter["name"] for parameter in path["parameters"]]
