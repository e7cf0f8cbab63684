"""One bad row does not keep other rows from being processed, in any table that a pass reads and in any step that reads
it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from service.db.notification_table import Notification
from service.db.operation_tables import PassFailure
from service.db.tables import Attempt, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.reconciler import clock_repairs, enforcement
from service.reconciler.isolation import ready
from service.usecases import attempt_outcomes
from tests.service.failing import due_again, failures, metric, set_job
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, ON_SQLITE, Api, WorkerHand, eventually
from tests.support.listener import listening

pytestmark = ON_BOTH


def poison(monkeypatch: pytest.MonkeyPatch, key: str, name: str = "expire") -> None:
    """Make the processing of this item raise, whatever its rows contain."""
    real = getattr(attempt_outcomes, name)

    def act(unit: Unit, attempt_id: str, *rest: Any) -> Any:
        if attempt_id == key:
            raise KeyError("stages")
        return real(unit, attempt_id, *rest)

    monkeypatch.setattr(attempt_outcomes, name, act)


def test_one_that_cannot_be_handled_is_tried_again_later_and_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = api.running("bad"), api.running("good")
    for hand in (bad, good):
        api.let_lease_run_out(hand.attempt_id)
    with monkeypatch.context() as patch:
        poison(patch, bad.attempt_id)
        api.conduct()
        assert (api.job(bad.job_id)["status"], api.job(good.job_id)["status"]) == ("running", "recovering")
        row = failures(api)["expiry", bad.attempt_id]
        assert (row.tries, row.error, row.job_id) == (1, "KeyError: 'stages'", bad.job_id)
        event = api.items(bad.job_id, "events")[-1]
        assert (event["kind"], event["actor"], event["data"]) == (
            "item_failed", "conductor", {"step": "expiry", "tries": 1},
        )  # fmt: skip
        assert "KeyError: 'stages'" in event["message"]
        api.conduct()  # the time of the next try has not come
        assert failures(api)["expiry", bad.attempt_id].tries == 1
        for tries in (2, 3):
            due_again(api)
            before = failures(api)["expiry", bad.attempt_id].retry_at
            api.conduct()
            row = failures(api)["expiry", bad.attempt_id]
            assert row.tries == tries
            assert row.retry_at - before >= timedelta(seconds=2.5 * 2 ** (tries - 1))
        assert metric(api, 'baton_item_failures_total{step="expiry"}') == 3
    due_again(api)
    api.conduct()
    assert api.job(bad.job_id)["status"] == "recovering"
    assert failures(api) == {}
    # An event for the first failure, and one each time that the number of failures has doubled.
    assert api.kinds(bad.job_id).count("item_failed") == 2


def test_items_that_wait_are_counted(api: Api) -> None:
    with api.services.database.write() as session:
        now = Unit(session).now()
        later = now + timedelta(hours=1)
        row = {"step": "expiry", "tries": 1, "error": "x", "first_at": now, "retry_at": later}
        session.execute(insert(PassFailure), [{**row, "item": str(n)} for n in range(3)])
    assert metric(api, 'baton_items_failing{step="expiry"}') == 3
    with api.services.database.write() as session:
        session.execute(update(PassFailure).where(PassFailure.item != "0").values(retry_at=now - timedelta(hours=2)))
    api.conduct()
    assert [item for _, item in failures(api)] == ["0"]


def test_waits_from_before_the_clock_was_set_end_in_batches(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_repairs, "BATCH", 2)
    jobs = [api.submit()["id"] for _ in range(5)]
    with api.services.database.write() as session:
        later = Unit(session).now() + timedelta(hours=1)
        session.execute(update(Attempt).values(not_before=later, urgency=None))
    api.services.reconciler.guard.clock_sets += 1
    api.conduct()
    assert all(api.claim(job_id, job_id).grant for job_id in jobs)


def test_one_poisoned_item_among_1200(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The item is the first of more items than one batch holds. The next batch leaves it out."""
    crowd(api, api.running(), 1_199)
    with api.services.database.read() as session:
        keys = list(session.scalars(select(Attempt.id).order_by(Attempt.lease_expires_at)))
    assert len(keys) == 1_200

    def end(unit: Unit, attempt_id: str, *_: Any) -> None:
        if attempt_id == keys[0]:
            raise KeyError("stages")
        unit.session.execute(update(Attempt).where(Attempt.id == attempt_id).values(state="lost"))

    monkeypatch.setattr(attempt_outcomes, "expire", end)
    reconciler = api.services.reconciler
    for _ in range(2):
        enforcement.expire_leases(api.services.database, reconciler.isolation, reconciler.guard.look, 30.0)
    with api.services.database.read() as session:
        left = list(session.scalars(select(Attempt.id).where(Attempt.state != "lost")))
    assert left == keys[:1]
    assert [key for _, key in failures(api)] == keys[:1]


def crowd(api: Api, pattern: WorkerHand, count: int) -> None:
    """Insert this many copies of an attempt, each in its own job, with expired leases."""
    with api.services.database.write() as session:
        job = session.execute(select(Job.__table__).where(Job.id == pattern.job_id)).mappings().one()
        attempt = session.execute(select(Attempt.__table__).where(Attempt.id == pattern.attempt_id)).mappings().one()
        now = Unit(session).now()
        ids = [f"{n:032x}" for n in range(count)]
        jobs = [{**{k: v for k, v in job.items() if k != "number"}, "id": one} for one in ids]
        session.execute(insert(Job.__table__), jobs)
        ended = [now - timedelta(seconds=60 + n) for n in range(count)]
        rows = [{**attempt, "id": one, "job_id": one, "lease_expires_at": ended[n]} for n, one in enumerate(ids)]
        session.execute(insert(Attempt.__table__), rows)
        session.execute(update(Attempt).where(Attempt.id == pattern.attempt_id).values(lease_expires_at=now))


@pytest.mark.parametrize("step", ["expiry", "orders", "repair", "checkpoints", "silence"])
def test_each_step_handles_one_by_one(api: Api, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """In each step: when it fails for the first of two jobs, it is still done for the second."""
    hands = [api.running(name) for name in ("bad", "good")]
    prepare, done = STEPS[step]
    for hand in hands:
        prepare(api, hand)
    of_job, of_attempt = Unit.lock_job, Unit.lock_attempt

    def lock_job(self: Unit, job_id: str, *, doomed: bool = False) -> Job:
        if job_id == hands[0].job_id:
            raise ValueError("its row cannot be read")
        return of_job(self, job_id, doomed=doomed)

    def lock_attempt(self: Unit, attempt_id: str) -> tuple[Job, Attempt]:
        if attempt_id == hands[0].attempt_id:
            raise ValueError("its row cannot be read")
        return of_attempt(self, attempt_id)

    with monkeypatch.context() as patch:
        patch.setattr(Unit, "lock_job", lock_job)
        patch.setattr(Unit, "lock_attempt", lock_attempt)
        for one in api.services.reconciler.quick:
            one.run(forced=True)
    assert done in api.kinds(hands[1].job_id)
    assert done not in api.kinds(hands[0].job_id)
    assert (step, hands[0].attempt_id) in failures(api) or (step, hands[0].job_id) in failures(api)
    due_again(api)
    for one in api.services.reconciler.quick:
        one.run(forced=True)
    assert done in api.kinds(hands[0].job_id)
    assert failures(api) == {}


def ordered_long_ago(api: Api, hand: WorkerHand) -> None:
    api.ask(hand.job_id, "cancel")
    set_job(api, hand.job_id, desired_at=ago(api, 100))


def ago(api: Api, seconds: float) -> Any:
    with api.services.database.read() as session:
        return Unit(session).now() - timedelta(seconds=seconds)


def without_attempt(api: Api, hand: WorkerHand) -> None:
    hand.finish("preempted")
    api.set_attempt(api.attempt(hand.job_id)["id"], state="cancelled")
    with api.services.database.write() as session:
        session.execute(text("DELETE FROM events WHERE job_id = :id AND kind = 'queued'"), {"id": hand.job_id})
        session.execute(text("UPDATE events SET sequence = -sequence WHERE job_id = :id"), {"id": hand.job_id})
        session.execute(update(Job).where(Job.id == hand.job_id).values(events=0))
        session.execute(text("DELETE FROM events WHERE job_id = :id"), {"id": hand.job_id})


def without_checkpoint(api: Api, hand: WorkerHand) -> None:
    hand.beat("training", interval_seconds=1.0)
    api.set_attempt(hand.attempt_id, started_at=ago(api, 1000), claimed_at=ago(api, 1000))


def silent(api: Api, hand: WorkerHand) -> None:
    api.set_attempt(hand.attempt_id, beat_at=ago(api, 25), lease_expires_at=ago(api, -5))


STEPS: dict[str, tuple[Callable[[Api, WorkerHand], None], str]] = {
    "expiry": (lambda api, hand: api.let_lease_run_out(hand.attempt_id), "attempt_lost"),
    "orders": (ordered_long_ago, "attempt_cancelled"),
    "repair": (without_attempt, "queued"),
    "checkpoints": (without_checkpoint, "checkpoint_overdue"),
    "silence": (silent, "worker_silent"),
}


def test_a_notification_that_cannot_be_sent_holds_up_no_other_of_its_target(
    start: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as listener:
        api = start(notify_urls=f"ops={listener.url('ops')}", notify_backoff_seconds=0.001)
        for name in ("bad", "odd", "good"):
            api.claim(api.submit(name=name)["id"]).finish("succeeded")
        with api.services.database.write() as session:
            odd = update(Notification).where(Notification.title == "Baton: odd succeeded")
            session.execute(odd.values(kind="of_tomorrow"))
        post = api.services.post
        send = post.send

        def broken(target: str, title: str, *rest: Any) -> Any:
            if title == "Baton: bad succeeded":
                raise TypeError("no text")
            return send(target, title, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(post, "send", broken)
            api.conduct()
        assert listener.titles == ["Baton: odd succeeded", "Baton: good succeeded"]
        assert [step for step, _ in failures(api)] == ["notifications"]
        due_again(api)
        with api.services.database.write() as session:
            session.execute(update(Notification).values(next_at=db_now()))
        eventually(lambda: api.conduct() or len(listener.titles) == 3)
        assert failures(api) == {}


@ON_POSTGRESQL
def test_a_pass_does_not_wait_for_a_row_that_another_holds(api: Api) -> None:
    held, free = api.running("held"), api.running("free")
    for hand in (held, free):
        api.let_lease_run_out(hand.attempt_id)
    with api.services.database.write() as session:
        session.execute(select(Job).where(Job.id == held.job_id).with_for_update()).all()
        api.conduct()
        assert api.job(free.job_id)["status"] == "recovering"
        assert failures(api) == {}  # nothing failed: the row was locked
    api.conduct()
    assert api.job(held.job_id)["status"] == "recovering"


@ON_SQLITE
def test_a_pass_that_raises_does_not_end_its_thread(start: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(conductor_seconds=0.01)
    reconciler = api.services.reconciler
    calls: list[int] = []

    def dies() -> None:
        calls.append(1)
        raise SystemExit

    monkeypatch.setattr(reconciler.quick[0], "action", dies)
    eventually(lambda: len(calls) > 2)
    assert set(reconciler.pass_ages()) >= {"conductor", "dispatching", "deleting", "notifying"}
    assert metric(api, 'baton_pass_age_seconds{thread="reconciler"}') >= 0
    assert ready("expiry", Attempt.id) is not None
