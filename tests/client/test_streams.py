"""The client follows events and logs although the connection is cut."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.client.client import Client
from baton.client.errors import ApiError, Unreachable
from baton.client.streams import Frame, FrameParser, Outage, follow_events
from baton.client.transport import RetryPolicy, Transport
from tests.client.conftest import Connect
from tests.client.fake_service import NOW, FakeService, job


def event(sequence: int, message: str = "hi") -> dict[str, Any]:
    return {"sequence": sequence, "at": NOW, "kind": "note", "actor": "w", "message": message, "data": {}}


STREAM = (
    'retry: 1000\n\nevent: note\ndata: {"a": "\u2028 \x85 \x0b é"}\nid: 1\n\n: ping\n\n'
    "data: one\ndata: two\r\n\r\nevent: end\ndata:x\n\nevent: half\ndata: no"
).encode()
FRAMES = [Frame("note", '{"a": "\u2028 \x85 \x0b é"}'), Frame("message", "one\ntwo"), Frame("end", "x")]


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM))))
def test_frames_are_the_same_however_they_arrive(cuts: list[int]) -> None:
    ends = sorted({0, *cuts, len(STREAM)})
    parser = FrameParser()
    assert [frame for a, b in pairwise(ends) for frame in parser.feed(STREAM[a:b])] == FRAMES


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=5))
def test_no_event_is_missed_or_doubled(cuts: list[int]) -> None:
    fake = FakeService()
    fake.start()
    fake.jobs["j1"] = job("j1", status="succeeded")
    fake.lists["events"] = [event(n, "\u2028 größer" * n) for n in range(1, 6)]
    fake.cuts = list(cuts)
    try:
        transport = Transport(fake.url, "a-token")
        outage = Outage(60.0, patience=RetryPolicy(first_delay=0.0))
        stream = follow_events(transport, "/v1/jobs/j1/events", 0, outage)
        assert [e.sequence for e in stream] == [1, 2, 3, 4, 5]
        transport.close()
    finally:
        fake.stop()


def test_it_begins_where_it_is_told(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded")
    fake.lists["events"] = [event(1), event(2), event(3)]
    assert [e.sequence for e in client.events_stream("j1", after=2)] == [3]
    assert list(client.events_stream("j1", after=3)) == []


def test_a_service_that_was_away_is_read_on(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    fake.lists["events"] = [event(1)]
    back = threading.Event()

    def outage(_error: Unreachable) -> None:
        if not back.is_set():
            back.set()
            fake.failures = [(503, {})]
            fake.lists["events"] += [event(2), event(3)]
            fake.jobs["j1"] = job("j1", status="succeeded")

    assert [e.sequence for e in client.events_stream("j1", on_outage=outage)] == [1, 2, 3]
    assert back.is_set()


def test_a_long_outage_ends_it(connect: Connect, fake: FakeService) -> None:
    fake.stop()
    with connect(fake.url, "x") as lonely:
        with pytest.raises(Unreachable):
            list(lonely.events_stream("j1", outage=0.1))
        with pytest.raises(Unreachable):
            list(lonely.log_stream("j1", 1, outage=0.1))


def test_refusals_are_not_outages(connect: Connect, fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    with pytest.raises(ApiError) as refused:
        list(client.log_stream("j1", 7))
    assert refused.value.status == 404
    with connect(fake.url, "wrong") as stranger, pytest.raises(ApiError) as refused:
        list(stranger.events_stream("j1"))
    assert refused.value.status == 401


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_letters_are_whole_wherever_a_log_is_cut(fake: FakeService, client: Client, step: int) -> None:
    fake.jobs["j1"] = job("j1")
    fake.logs = {"1": "naïve größer 日本\n".encode() + b"\xff half: \xc3"}
    fake.log_step = step
    text = "".join(client.log_stream("j1", 1))
    assert text == "naïve größer 日本\n\ufffd half: \ufffd"
    part = client.log("j1", 1, offset=2)
    assert (part.data[:1], part.end) == (b"\xc3", min(2 + step, len(fake.logs["1"])))


def test_an_outage_in_a_log_is_waited_out(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    fake.logs = {"1": b"one\ntwo\n"}
    fake.log_step = 4
    found = []
    for text in client.log_stream("j1", 1):
        found.append(text)
        fake.failures = [(503, {})] if len(found) == 1 else []
    assert found == ["one\n", "two\n"]
