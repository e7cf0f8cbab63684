"""A poll of a job costs one SELECT while nothing changes, and never shows an outdated state."""

from __future__ import annotations

import pytest

from service.live.status_cache import StatusCache
from service.usecases.attempt_limits import Limits
from service.usecases.heartbeat_age import HeartbeatTimes
from tests.service.helpers import ON_BOTH, Api
from tests.service.progress import PROGRESS
from tests.support.statements import statements

pytestmark = ON_BOTH


def selects(asked: list[str]) -> int:
    return sum(statement.startswith("SELECT") for statement in asked)


def test_a_second_poll_is_one_select(api: Api) -> None:
    hand = api.running()
    first = api.http.get(f"/v1/jobs/{hand.job_id}")
    with statements(api.services.database.engine) as asked:
        second = api.http.get(f"/v1/jobs/{hand.job_id}")
        third = api.http.get(f"/v1/jobs/{hand.job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert second.content == first.content
    assert (third.status_code, third.content) == (304, b"")
    assert selects(asked) == 2


def test_a_change_is_seen_at_once(api: Api) -> None:
    hand = api.running()
    for step in range(3):
        tag = api.http.get(f"/v1/jobs/{hand.job_id}").headers["etag"]
        hand.beat("training", progress={**PROGRESS, "step": step})
        answer = api.http.get(f"/v1/jobs/{hand.job_id}", headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.json()["progress"]["step"] == step


def test_another_replica_changes_it(api: Api) -> None:
    hand = api.running()
    other = StatusCache(api.services.database, Limits(), HeartbeatTimes(10, 30))
    before = other.show(hand.job_id)
    assert other.show(hand.job_id) is before
    api.ask(hand.job_id, "pause")
    assert b'"status":"pausing"' in other.show(hand.job_id).body


def test_seconds_go_on_counting(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = api.running()
    shown = api.services.statuses.show(hand.job_id)
    monkeypatch.setattr("service.live.status_cache.FRESH_SECONDS", 0.0)
    assert api.services.statuses.show(hand.job_id) is not shown


def test_the_status_of_an_ended_job_is_built_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = api.running()
    hand.finish("succeeded")
    monkeypatch.setattr("service.live.status_cache.FRESH_SECONDS", 0.0)
    shown = api.services.statuses.show(hand.job_id)
    assert shown.final
    assert api.services.statuses.show(hand.job_id) is shown


def test_the_status_of_a_waiting_job_is_rebuilt(api: Api) -> None:
    job_id = api.submit()["id"]
    assert api.services.statuses.show(job_id) is not api.services.statuses.show(job_id)


def test_no_more_are_kept_than_there_is_room_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.live.status_cache.KEPT", 2)
    hands = [api.running(f"w{k}") for k in range(3)]
    shown = [api.services.statuses.show(hand.job_id) for hand in hands]
    assert [api.services.statuses.show(hand.job_id) is one for hand, one in zip(hands[1:], shown[1:], strict=True)] == [
        True,
        True,
    ]
    assert api.services.statuses.show(hands[0].job_id) is not shown[0]
