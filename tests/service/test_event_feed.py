"""The events of all jobs in one order: no reader misses one, whatever commits last."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from sqlalchemy import select, update

from service.db.tables import Event
from service.db.unit_of_work import Unit
from service.reconciler.list_upkeep import number_events
from service.usecases import event_feed
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, Api, assert_problem

pytestmark = ON_BOTH


def read(api: Api, after: int = 0, **params: Any) -> list[dict[str, Any]]:
    """All events after a number, page by page."""
    found, cursor = [], None
    while True:
        given = {key: value for key, value in {**params, "cursor": cursor}.items() if value is not None}
        page = api.http.get("/v1/events", params={"after": after, "limit": 3, **given}).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def note(api: Api, unit: Unit, job_id: str, text: str) -> None:
    unit.event(unit.lock_job(job_id), "hello", "user", text)


def number(api: Api) -> None:
    number_events(api.services.database)


def test_pages_have_the_events_of_all_jobs(api: Api) -> None:
    jobs = [api.submit()["id"] for _ in range(3)]
    assert read(api) == []
    number(api)
    found = read(api)
    numbers = [one["number"] for one in found]
    assert numbers == list(range(1, len(found) + 1))
    for job_id in jobs:
        own = [one["sequence"] for one in found if one["job_id"] == job_id]
        assert own == [one["sequence"] for one in api.items(job_id, "events")]
    assert found[0]["job_name"] == "small"
    assert read(api, sort="-number") == found[::-1]
    assert read(api, after=numbers[-2]) == found[-1:]
    assert_problem(api.http.get("/v1/events?sort=-number&cursor=x1"), 422, "invalid-request")


def test_events_of_a_deleted_job_and_of_the_time_before_the_feed_are_left_out(api: Api) -> None:
    gone, kept = (api.submit()["id"] for _ in range(2))
    with api.services.database.write() as session:
        session.execute(update(Event).where(Event.job_id == kept, Event.sequence == 1).values(feed=-1))
    number(api)
    assert api.http.delete(f"/v1/jobs/{gone}", params={"force": "true"}).status_code == 202
    assert {one["job_id"] for one in read(api)} == {kept}
    assert 1 not in [one["sequence"] for one in read(api)]


@ON_POSTGRESQL
def test_an_event_that_commits_later_comes_later(api: Api) -> None:
    first, second = (api.submit()["id"] for _ in range(2))
    number(api)
    last = read(api)[-1]["number"]
    with api.services.database.write() as slow:
        note(api, Unit(slow), first, "slow")
        with api.services.database.write() as quick:
            note(api, Unit(quick), second, "quick")
        number(api)
        seen = read(api, after=last)
        assert [one["message"] for one in seen] == ["quick"]
    number(api)
    assert [one["message"] for one in read(api, after=seen[-1]["number"])] == ["slow"]


@ON_POSTGRESQL
def test_a_reader_beside_many_writers_and_two_reconcilers_misses_nothing(api: Api) -> None:
    jobs, database, stop = [api.submit()["id"] for _ in range(4)], api.services.database, threading.Event()
    number(api)
    last = read(api)[-1]["number"]

    def write(job_id: str) -> None:
        drawn = random.Random(job_id)
        for k in range(25):
            with database.write() as session:
                note(api, Unit(session), job_id, str(k))
                session.flush()
                time.sleep(drawn.random() * 0.01)  # transactions overlap, and commit in another order than they wrote

    def keep_numbering() -> None:
        while not stop.is_set():
            with database.write() as session:
                event_feed.number_events(Unit(session), most=7)

    writers = [threading.Thread(target=write, args=(job_id,)) for job_id in jobs]
    numbering = [threading.Thread(target=keep_numbering) for _ in range(2)]
    for thread in (*numbering, *writers):
        thread.start()
    seen: list[dict[str, Any]] = []
    while len(seen) < 100:
        seen += read(api, after=seen[-1]["number"] if seen else last)
        if not any(thread.is_alive() for thread in writers) and not unnumbered(api):
            seen += read(api, after=seen[-1]["number"] if seen else last)
            break
    stop.set()
    for thread in (*writers, *numbering):
        thread.join()
    for job_id in jobs:
        assert [one["message"] for one in seen if one["job_id"] == job_id] == [str(k) for k in range(25)]
    assert len({one["number"] for one in seen}) == 100


def unnumbered(api: Api) -> int:
    with api.services.database.read() as session:
        return len(session.scalars(select(Event.sequence).where(Event.feed == 0)).all())


def test_a_part_is_bounded(api: Api) -> None:
    """Also if most events are not visible: the part then ends early, and says how far it was read."""
    for _ in range(4):
        api.submit()
    number(api)
    with api.services.database.read() as session:
        unit = Unit(session)
        every = event_feed.feed_part(unit, 0, 1000, None)
        assert event_feed.feed_part(unit, 0, 1000, "default") == every
        none = event_feed.feed_part(unit, 0, 1000, "other")
        assert (none.events, none.last, none.more) == ([], event_feed.last_number(unit), False)
        some = event_feed.feed_part(unit, 0, 2, None)
        assert (len(some.events), some.last, some.more) == (2, some.events[-1].number, True)
