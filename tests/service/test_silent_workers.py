"""Users are notified of silent workers and overdue checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.db.notification_table import Notification
from service.db.tables import Attempt, Checkpoint
from service.db.unit_of_work import Unit
from tests.service.helpers import ON_BOTH, Api, WorkerHand
from tests.support.listener import listening

pytestmark = ON_BOTH

LEASE = 30.0


def last_heartbeat(api: Api, hand: WorkerHand, seconds: float) -> None:
    """Set the worker's last heartbeat to this many seconds ago."""
    with api.services.database.read() as session:
        beat = Unit(session).now() - timedelta(seconds=seconds)
    api.set_attempt(hand.attempt_id, beat_at=beat, lease_expires_at=beat + timedelta(seconds=LEASE))


def row(api: Api, hand: WorkerHand) -> Attempt:
    with api.services.database.read() as session:
        return session.execute(select(Attempt).where(Attempt.id == hand.attempt_id)).scalar_one()


def kinds(api: Api, hand: WorkerHand) -> list[str]:
    return [kind for kind in api.kinds(hand.job_id) if kind.startswith("worker_")]


def test_a_claim_and_each_heartbeat_are_noted(api: Api) -> None:
    hand = api.claim(api.submit()["id"])
    claimed = row(api, hand)
    assert claimed.beat_at == claimed.claimed_at
    hand.beat()
    beaten = row(api, hand)
    assert beaten.beat_at is not None
    assert beaten.beat_at > claimed.beat_at  # type: ignore[operator]
    assert beaten.lease_expires_at == beaten.beat_at + timedelta(seconds=LEASE)


def test_a_silent_worker_is_said_once_and_once_that_it_is_back(api: Api) -> None:
    hand = api.running()
    last_heartbeat(api, hand, 19)
    api.conduct()
    assert kinds(api, hand) == []
    last_heartbeat(api, hand, 21)
    for _ in range(3):
        api.conduct()
    assert kinds(api, hand) == ["worker_silent"]
    event = api.items(hand.job_id, "events")[-1]
    assert re.fullmatch(r"worker w1 sent no heartbeat for 2\d s; its lease ends in \d s", event["message"])
    assert event["data"]["attempt"] == 1
    assert row(api, hand).silent_since == row(api, hand).beat_at
    hand.beat()
    event = api.items(hand.job_id, "events")[-1]
    assert event["kind"] == "worker_back"
    assert re.fullmatch(r"worker w1 sent a heartbeat again after 2\d s", event["message"])
    assert row(api, hand).silent_since is None
    hand.beat()
    last_heartbeat(api, hand, 22)
    api.conduct()
    assert kinds(api, hand) == ["worker_silent", "worker_back", "worker_silent"]


def test_who_is_lost_is_not_said_to_be_silent(api: Api) -> None:
    hand = api.running()
    last_heartbeat(api, hand, 31)
    api.conduct()
    assert kinds(api, hand) == []
    assert api.job(hand.job_id)["status"] == "recovering"


def test_an_outage_of_the_service_makes_no_worker_silent(start: Callable[..., Api]) -> None:
    api = start(after_outage=True)
    hand = api.running()
    last_heartbeat(api, hand, 25)
    api.conduct()
    assert kinds(api, hand) == []


def test_both_are_told_once_in_each_attempt(start: Callable[..., Api]) -> None:
    with listening() as listener:
        api = start(notify_urls=f"ops={listener.url('ops')}")
        told = api.running("told", notify={"when": ["silent", "overdue"]})
        usual = api.running("usual")
        for hand in (told, usual):
            never_saved(api, hand)
            last_heartbeat(api, hand, 25)
        api.conduct()
        expected = {(told.job_id, "overdue", 1), (told.job_id, "silent", 1), (usual.job_id, "overdue", 1)}
        assert notified(api) == expected
        api.conduct()
        posts = {post["title"]: post for post in listener.posts}
        assert set(posts) == {"Baton: small gets no checkpoint saved", "Baton: small has a worker without heartbeats"}
        silent, overdue = posts.pop("Baton: small has a worker without heartbeats"), posts.popitem()[1]
        assert silent["type"] == overdue["type"] == "warning"
        assert re.search(r"In attempt 1: worker told sent no heartbeat for \d+ s; its lease ends in", silent["message"])
        assert re.search(r"In attempt 1: no checkpoint was committed for \d+ s; one is due", overdue["message"])
        # Both become due a second time in this attempt, and no second message is sent.
        told.checkpoint(3)
        told.beat()
        never_saved(api, told, committed=1000)
        last_heartbeat(api, told, 25)
        api.conduct()
        assert api.kinds(told.job_id).count("worker_silent") == 2
        assert notified(api) == expected


def test_a_new_leader_tells_it_before_the_old_one_goes_on(
    start: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old leader was suspended after it had read what to send: one event, one message."""
    with listening() as listener:
        urls = f"ops={listener.url('ops')}"
        old, new = start(notify_urls=urls), start(notify_urls=urls)
        hand = old.running(notify={"when": ["silent", "overdue"]})
        never_saved(old, hand)
        last_heartbeat(old, hand, 25)
        each = old.services.reconciler.isolation.each

        def suspended(step: str, *rest: Any) -> None:
            new.conduct()
            each(step, *rest)

        monkeypatch.setattr(old.services.reconciler.isolation, "each", suspended)
        for _ in range(2):
            old.conduct()
        events = [kind for kind in old.kinds(hand.job_id) if kind in ("worker_silent", "checkpoint_overdue")]
        assert sorted(events) == ["checkpoint_overdue", "worker_silent"]
        assert notified(old) == {(hand.job_id, "overdue", 1), (hand.job_id, "silent", 1)}
        assert len(listener.posts) == 2


def never_saved(api: Api, hand: WorkerHand, committed: float | None = None) -> None:
    hand.beat("training", interval_seconds=1.0)
    with api.services.database.write() as session:
        earlier = Unit(session).now() - timedelta(seconds=1000)
        values: dict[str, Any] = {"started_at": earlier, "claimed_at": earlier}
        session.execute(update(Attempt).where(Attempt.id == hand.attempt_id).values(**values))
        if committed is not None:
            session.execute(update(Checkpoint).where(Checkpoint.job_id == hand.job_id).values(committed_at=earlier))


def notified(api: Api) -> set[tuple[str, str, int]]:
    with api.services.database.read() as session:
        rows = list(session.scalars(select(Notification)))
    assert len(rows) == len({one.number for one in rows})
    return {(one.job_id, one.kind, one.count) for one in rows}
