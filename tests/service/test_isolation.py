"""One bad row keeps nothing else from being handled: in each table that a pass reads, and wherever it is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from core.domain.policies import Category, category
from core.domain.spec import CheckpointSpec, RetrySpec
from core.domain.spec.notify import NotifySpec
from core.domain.stored import find_stored, read_stored
from core.domain.wire import Finish, Position
from service.conductor import control
from service.conductor.isolation import ready
from service.control import endings
from service.db.notices import Notification
from service.db.operations import PassFailure
from service.db.tables import Attempt, Checkpoint, Job
from service.db.types import db_now
from service.db.unit import Unit
from tests.service.helpers import ON_POSTGRESQL, ON_SQLITE, Api, WorkerHand, eventually
from tests.support.listener import listening

RETRY = {"max_failures": 100, "max_attempts_without_progress": 100, "backoff": 0}


def set_job(api: Api, job_id: str, **values: Any) -> None:
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def failures(api: Api) -> dict[tuple[str, str], PassFailure]:
    with api.services.database.read() as session:
        return {(row.step, row.item): row for row in session.scalars(select(PassFailure))}


def due_again(api: Api) -> None:
    with api.services.database.write() as session:
        session.execute(update(PassFailure).values(retry_at=db_now()))


def metric(api: Api, name: str) -> float:
    lines = api.http.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


# -- what is stored is read leniently ---------------------------------------------------------------------------------


@ON_SQLITE
def test_what_is_stored_is_read_as_far_as_it_can_be(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    data = {"max_failures": 7, "max_attempts_without_progress": "many", "removed_field": 1}
    assert read_stored(RetrySpec, data) == RetrySpec(max_failures=7)
    assert data["removed_field"] == 1
    assert read_stored(RetrySpec, None) == read_stored(RetrySpec, [1]) == read_stored(RetrySpec, "x") == RetrySpec()
    assert read_stored(CheckpointSpec, {"keep": 5, "every": {"a": 1}}) == CheckpointSpec(keep=5)
    told = read_stored(NotifySpec, {"when": ["failed", "of_tomorrow", 3], "targets": [1, "ops"]})
    assert ([kind.value for kind in told.when or ()], told.targets) == (["failed"], ("ops",))
    assert read_stored(NotifySpec, {"when": 5}).when is None
    assert find_stored(Position, {"stage": 1}) is None
    assert find_stored(Position, "x") is find_stored(Position, None) is None
    finish = find_stored(Finish, {"fence": 1, "outcome": "failed", "reason": "of_tomorrow", "at_step": 3, "new": {}})
    assert finish is not None
    assert (finish.reason, finish.at_step) == ("of_tomorrow", 3)
    assert category("of_tomorrow") is Category.INFRASTRUCTURE
    told_once = [r.getMessage() for r in caplog.records if "max_attempts_without_progress" in r.getMessage()]
    assert len(told_once) == 1
    assert "a stored RetrySpec" in told_once[0]


def bad_spec(part: str, value: Any) -> Callable[[Api, WorkerHand], None]:
    def plant(api: Api, hand: WorkerHand) -> None:
        set_job(api, hand.job_id, spec={**api.job(hand.job_id)["spec"], part: value})

    return plant


def bad_job(**values: Any) -> Callable[[Api, WorkerHand], None]:
    return lambda api, hand: set_job(api, hand.job_id, **values)


def bad_attempt(**values: Any) -> Callable[[Api, WorkerHand], None]:
    def plant(api: Api, hand: WorkerHand) -> None:
        api.set_attempt(hand.attempt_id, **values)

    return plant


def bad_checkpoint(**values: Any) -> Callable[[Api, WorkerHand], None]:
    def plant(api: Api, hand: WorkerHand) -> None:
        hand.checkpoint(5)
        with api.services.database.write() as session:
            session.execute(update(Checkpoint).where(Checkpoint.job_id == hand.job_id).values(**values))

    return plant


def bad_end(**values: Any) -> Callable[[Api, WorkerHand], None]:
    """The attempt before this one ended so."""

    def plant(api: Api, hand: WorkerHand) -> None:
        assert hand.finish("failed", reason="exception", message="x").status_code == 200
        api.set_attempt(hand.attempt_id, **values)
        api.set_attempt(api.attempt(hand.job_id)["id"], not_before=db_now())
        heir = api.claim(hand.job_id)
        heir.beat("training")
        hand.attempt_id, hand.grant = heir.attempt_id, heir.grant

    return plant


BAD: dict[str, Callable[[Api, WorkerHand], None]] = {
    "jobs.spec": bad_job(spec=["no", "mapping"]),
    "jobs.spec.retry": bad_spec("retry", {"removed_field": 1, "max_failures": "three", "backoff": 0}),
    "jobs.spec.retry as text": bad_spec("retry", "often"),
    "jobs.spec.notify": bad_spec("notify", {"when": ["of_tomorrow"], "targets": 5, "removed": 1}),
    "jobs.spec.checkpoint": bad_spec("checkpoint", {"keep": [], "every": {"weeks": 1}}),
    "jobs.labels": bad_job(labels=["no", "mapping"]),
    "jobs.needs": bad_job(needs={"no": "list"}),
    "jobs.furthest": bad_job(furthest={"stage": "first"}),
    "jobs.progress": bad_job(progress={"global_step": "many"}),
    "jobs.best": bad_job(best={"metric": "loss"}),
    "jobs.metrics": bad_job(metrics=[1, 2]),
    "jobs.results": bad_job(results="none"),
    "attempts.seconds": bad_attempt(seconds=[1]),
    "attempts.phase": bad_attempt(phase="dreaming"),
    "attempts.ending": bad_end(ending={"fence": 1, "outcome": "of_tomorrow", "phase": 7}),
    "attempts.reason": bad_end(reason="of_tomorrow", ending=None),
    "checkpoints.needs": bad_checkpoint(needs={"a": None}),
    "checkpoints.roles": bad_checkpoint(roles=7),
}


@pytest.mark.parametrize("where", BAD)
def test_a_bad_row_costs_nobody_anything(start: Callable[..., Api], where: str) -> None:
    """Nothing of it has to be retried even: what makes no sense is left out."""
    with listening() as ear:
        api = start(notify_urls=f"ops={ear.url('ops')}", notify_recoveries=0, label_limits={"team:*": 100})
        bad, good = api.running("bad", retry=RETRY), api.running("good", retry=RETRY)
        BAD[where](api, bad)
        for hand in (bad, good):
            api.let_lease_run_out(hand.attempt_id)
        api.conduct()
        assert failures(api) == {}
        with api.services.database.read() as session:
            states = dict(session.execute(select(Job.id, Job.state)).all())
        assert states == {bad.job_id: "recovering", good.job_id: "recovering"}
        # Its page, its list, and all that is counted, can be read.
        listed = api.http.get("/v1/jobs")
        assert listed.status_code == 200, listed.text
        assert {job["id"]: job["status"] for job in listed.json()["items"]} == states
        for part in ("", "/attempts", "/checkpoints", "/events", "/stages"):
            answer = api.http.get(f"/v1/jobs/{bad.job_id}{part}")
            assert answer.status_code == 200, (part, answer.text)
        assert metric(api, "baton_jobs{") == 2
        if where == "jobs.spec":
            return  # nobody can train it, until somebody mends it
        # It is trained to its end.
        heir = api.claim(bad.job_id)
        assert heir.beat("training").status_code == 200
        assert heir.checkpoint(50).status_code == 201
        assert heir.finish("succeeded").status_code == 200


def test_what_cannot_be_read_is_shown_as_nothing(api: Api) -> None:
    bad, good = api.running("bad"), api.running("good")
    set_job(
        api, bad.job_id, labels={"a": "b", "n": 3}, progress={"step": 1}, best={"metric": "loss"},
        metrics={"loss": 0.5, "odd": {}}, results=[], spec=7,
    )  # fmt: skip
    first, second = api.http.get("/v1/jobs").json()["items"]
    assert (first["id"], first["status"]) == (good.job_id, "running")
    assert (second["id"], second["status"]) == (bad.job_id, "running")
    shown = ("labels", "progress", "best", "metrics", "results", "spec")
    assert [second[name] for name in shown] == [{"a": "b"}, None, None, {"loss": 0.5}, {}, {}]


# -- what fails nevertheless ------------------------------------------------------------------------------------------


def poison(monkeypatch: pytest.MonkeyPatch, key: str, name: str = "expire") -> None:
    """Handling this one raises, whatever is in its rows."""
    real = getattr(endings, name)

    def act(unit: Unit, attempt_id: str, *rest: Any) -> Any:
        if attempt_id == key:
            raise KeyError("stages")
        return real(unit, attempt_id, *rest)

    monkeypatch.setattr(endings, name, act)


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
        api.conduct()  # it waits
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
    assert api.kinds(bad.job_id).count("item_failed") == 2  # the first, then each doubling


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


def test_one_poisoned_item_among_1200(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first of more than a batch: the next batch is without it."""
    crowd(api, api.running(), 1_199)
    with api.services.database.read() as session:
        keys = list(session.scalars(select(Attempt.id).order_by(Attempt.lease_expires_at)))
    assert len(keys) == 1_200

    def end(unit: Unit, attempt_id: str, *_: Any) -> None:
        if attempt_id == keys[0]:
            raise KeyError("stages")
        unit.session.execute(update(Attempt).where(Attempt.id == attempt_id).values(state="lost"))

    monkeypatch.setattr(endings, "expire", end)
    conductor = api.services.conductor
    for _ in range(2):
        control.expire_leases(api.services.database, conductor.isolation, conductor.guard.look, 30.0)
    with api.services.database.read() as session:
        left = list(session.scalars(select(Attempt.id).where(Attempt.state != "lost")))
    assert left == keys[:1]
    assert [key for _, key in failures(api)] == keys[:1]


def crowd(api: Api, pattern: WorkerHand, count: int) -> None:
    """So many attempts like this one, each of a job of its own, whose leases ran out."""
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
    """Whatever fails for the first of two jobs, in any step, is done for the second."""
    hands = [api.running(name) for name in ("bad", "good")]
    prepare, done = STEPS[step]
    for hand in hands:
        prepare(api, hand)
    of_job, of_attempt = Unit.lock_job, Unit.lock_attempt

    def lock_job(self: Unit, job_id: str) -> Job:
        if job_id == hands[0].job_id:
            raise ValueError("its row cannot be read")
        return of_job(self, job_id)

    def lock_attempt(self: Unit, attempt_id: str) -> tuple[Job, Attempt]:
        if attempt_id == hands[0].attempt_id:
            raise ValueError("its row cannot be read")
        return of_attempt(self, attempt_id)

    with monkeypatch.context() as patch:
        patch.setattr(Unit, "lock_job", lock_job)
        patch.setattr(Unit, "lock_attempt", lock_attempt)
        for one in api.services.conductor.quick:
            one.run(forced=True)
    assert done in api.kinds(hands[1].job_id)
    assert done not in api.kinds(hands[0].job_id)
    assert (step, hands[0].attempt_id) in failures(api) or (step, hands[0].job_id) in failures(api)
    due_again(api)
    for one in api.services.conductor.quick:
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


# -- notifications ----------------------------------------------------------------------------------------------------


def test_a_notification_that_cannot_be_sent_holds_up_no_other_of_its_target(
    start: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as ear:
        api = start(notify_urls=f"ops={ear.url('ops')}", notify_backoff_seconds=0.001)
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
        assert ear.titles == ["Baton: odd succeeded", "Baton: good succeeded"]
        assert [step for step, _ in failures(api)] == ["notifications"]
        due_again(api)
        with api.services.database.write() as session:
            session.execute(update(Notification).values(next_at=db_now()))
        eventually(lambda: api.conduct() or len(ear.titles) == 3)
        assert failures(api) == {}


# -- rows that somebody holds -----------------------------------------------------------------------------------------


@ON_POSTGRESQL
def test_a_pass_does_not_wait_for_a_row_that_another_holds(api: Api) -> None:
    held, free = api.running("held"), api.running("free")
    for hand in (held, free):
        api.let_lease_run_out(hand.attempt_id)
    with api.services.database.write() as session:
        session.execute(select(Job).where(Job.id == held.job_id).with_for_update()).all()
        api.conduct()
        assert api.job(free.job_id)["status"] == "recovering"
        assert failures(api) == {}  # nothing is wrong with it
    api.conduct()
    assert api.job(held.job_id)["status"] == "recovering"


@ON_SQLITE
def test_a_pass_is_cut_short_by_nothing_for_ever(start: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(conductor_seconds=0.01)
    conductor = api.services.conductor
    calls: list[int] = []

    def dies() -> None:
        calls.append(1)
        raise SystemExit

    monkeypatch.setattr(conductor.quick[0], "action", dies)
    eventually(lambda: len(calls) > 2)
    assert set(conductor.pass_ages()) >= {"conductor", "dispatching", "deleting", "notifying"}
    assert metric(api, 'baton_pass_age_seconds{thread="conductor"}') >= 0
    assert ready("expiry", Attempt.id) is not None
