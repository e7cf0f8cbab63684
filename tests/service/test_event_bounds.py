"""Limits of the events that workers add to a job's log, and of the size of a page of the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from sqlalchemy import update

from service.authn.write_rates import WriteRate
from service.db import unit_of_work
from service.db.tables import Artifact, Event
from service.db.types import db_now
from service.errors import TooManyWrites
from service.usecases.artifacts import MAX_ARTIFACTS
from service.usecases.events import PAGE_BYTES
from tests.service.helpers import Api, WorkerHand, assert_problem

LARGE = {"a": "x" * 16_000}
SLACK = 64 << 10


def notes(hand: WorkerHand, number: int) -> None:
    for _ in range(number):
        assert hand.post("notes", kind="hello", message="m", data=LARGE).status_code == 201


def test_a_note_has_a_bound_and_the_answer_names_the_field(api: Api) -> None:
    hand = api.running()
    before = len(api.items(hand.job_id, "events"))
    for field, body in (("data", {"data": {"a": "x" * 20_000}}), ("message", {"message": "x" * 20_001})):
        answer = hand.post("notes", **{"kind": "hello", "message": "m", **body})
        assert assert_problem(answer, 422, "invalid-request")["errors"][0]["field"] == field
    assert len(api.items(hand.job_id, "events")) == before
    assert hand.beat().status_code == 200


def test_pages_are_bounded_by_bytes_and_lose_nothing(api: Api) -> None:
    """A page holds as many events as fit.

    `next_after` continues where the page ended. The last page has no `next_after`.
    """
    hand = api.running()
    notes(hand, 150)
    sequences, sizes, after = [], [], 0
    while True:
        answer = api.http.get(f"/v1/jobs/{hand.job_id}/events", params={"after": after, "limit": 1000})
        page = answer.json()
        sizes.append(len(answer.content))
        sequences += [event["sequence"] for event in page["items"]]
        if page["next_after"] is None:
            break
        assert page["next_after"] == sequences[-1]
        after = page["next_after"]
    assert sequences == list(range(1, api.job(hand.job_id)["events"] + 1))
    assert max(sizes) <= PAGE_BYTES + SLACK
    assert min(sizes[:-1]) >= PAGE_BYTES // 2


def test_an_old_event_larger_than_a_page_has_its_own_page(api: Api) -> None:
    """Older services accepted events of up to 1 MiB."""
    hand = api.running()
    notes(hand, 3)
    huge = {"a": "x" * 1_500_000}
    with api.services.database.write() as session:
        session.execute(update(Event).where(Event.job_id == hand.job_id, Event.kind == "hello").values(data=huge))
    after, found = 0, []
    while after is not None:
        page = api.http.get(f"/v1/jobs/{hand.job_id}/events", params={"after": after}).json()
        found.append([event["kind"] for event in page["items"]])
        after = page["next_after"]
    assert [kinds for kinds in found if "hello" in kinds] == [["hello"]] * 3


def test_pieces_of_a_stream_are_bounded_too(api: Api) -> None:
    hand = api.running()
    notes(hand, 100)
    hand.finish("succeeded")
    last, sizes, events = 0, [], []
    while True:
        piece = asyncio.run(api.services.feed.piece(hand.job_id, last))
        sizes.append(len(piece.data))
        events += [
            json.loads(line[6:])["sequence"] for line in piece.data.decode().splitlines() if line[:6] == "data: "
        ]
        last = piece.last
        if not piece.more:
            break
    assert piece.ended == "succeeded"
    assert events == list(range(1, last + 1))
    assert len(sizes) > 1
    assert max(sizes) <= PAGE_BYTES + SLACK


def test_a_job_keeps_its_first_and_its_newest_events(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader can continue after any number, even if the event with this number was deleted.

    Older services kept all events of a job.
    """
    hand = api.running()
    for _ in range(20):
        hand.note()
    for name, value in (("FIRST_EVENTS", 3), ("LAST_EVENTS", 5), ("FORGET_EVERY", 2)):
        monkeypatch.setattr(unit_of_work, name, value)
    for _ in range(30):
        hand.note()
    hand.finish("succeeded")
    total = api.job(hand.job_id)["events"]
    kept = [event["sequence"] for event in api.items(hand.job_id, "events")]
    assert kept[:3] == [1, 2, 3]
    assert kept[3:] == list(range(kept[3], total + 1))
    assert 5 <= len(kept[3:]) <= 7
    page = api.http.get(f"/v1/jobs/{hand.job_id}/events", params={"after": 9, "limit": 1}).json()
    assert [event["sequence"] for event in page["items"]] == [page["next_after"]] == [kept[3]]
    piece = asyncio.run(api.services.feed.piece(hand.job_id, 2))
    assert (piece.last, piece.ended) == (total, "succeeded")
    assert piece.data.count(b"id: ") == len(kept) - 2


def test_notes_beyond_the_allowance_wait_and_heartbeats_do_not(api: Api) -> None:
    hand, other = api.running(), api.running("w2")
    api.services.lease_authenticator.notes = WriteRate("notes", 3, 30.0)
    assert [hand.note().status_code for _ in range(3)] == [201] * 3
    answer = hand.note()
    assert_problem(answer, 429, "too-many-writes")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert hand.beat().status_code == 200
    assert hand.checkpoint(5).status_code == 201
    assert other.note().status_code == 201


def test_an_allowance_fills_again() -> None:
    now = [100.0]
    allowance = WriteRate("notes", 2, 10.0, lambda: now[0])

    def takes() -> int:
        taken = 0
        try:
            while True:
                allowance.take("a")
                taken += 1
        except TooManyWrites as error:
            assert 0 < error.seconds <= 10
            return taken

    assert takes() == 2
    now[0] += 9.0
    assert takes() == 0
    now[0] += 1.5
    assert takes() == 1
    now[0] += 1e6
    assert takes() == 2


def test_a_job_has_so_many_artifacts_and_no_more(api: Api) -> None:
    hand = api.running()
    hand.artifact("report.html")
    with api.services.database.write() as session:
        for number in range(MAX_ARTIFACTS - 1):
            values = {"object": f"o{number}", "size": 1, "crc32c": "00000000", "content_type": "x", "fence": 1}
            session.add(Artifact(job_id=hand.job_id, name=f"f{number}", committed_at=db_now(), **values))
    problem = assert_problem(hand.artifact("one-more.html"), 422, "invalid-message")
    assert problem["errors"][0]["field"] == "name"
    assert hand.artifact("report.html", b"a newer version").status_code == 200


@pytest.mark.parametrize(
    ("field", "send"),
    [
        ("metrics", lambda hand: hand.beat(metrics={f"m{k}": 1.0 for k in range(201)})),
        ("results", lambda hand: hand.finish("succeeded", results={f"m{k}": 1.0 for k in range(201)})),
        ("metrics", lambda hand: hand.beat(metrics={"m" * 201: 1.0})),
        ("needs", lambda hand: hand.checkpoint(1, needs=["x"] * 101)),
        ("roles", lambda hand: hand.checkpoint(1, *["latest"] * 51)),
    ],
)
def test_whatever_a_worker_sends_many_of_has_a_bound(
    api: Api, field: str, send: Callable[[WorkerHand], object]
) -> None:
    hand = api.running()
    problem = assert_problem(send(hand), 422, "invalid-request")  # type: ignore[arg-type]
    assert problem["errors"][0]["field"].startswith(field)
    assert hand.beat().status_code == 200
