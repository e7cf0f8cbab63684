"""Stored rows are read leniently: a bad row, in any table that a pass reads, does not keep other rows from being
processed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from baton.domain.lenient_reading import find_stored, read_stored
from baton.domain.reasons import Category, category
from baton.domain.spec import CheckpointSpec, RetrySpec
from baton.domain.spec.notifications import NotifySpec
from baton.domain.wire import Finish, Position
from service.db.tables import Checkpoint, Job
from service.db.types import db_now
from tests.service.failing import failures, metric, set_job
from tests.service.helpers import Api, WorkerHand
from tests.support.listener import listening

RETRY = {"max_failures": 100, "max_attempts_without_progress": 100, "backoff": 0}


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
    """End the previous attempt, with these values in its row."""

    def plant(api: Api, hand: WorkerHand) -> None:
        assert hand.finish("failed", reason="exception", message="x").status_code == 200
        api.set_attempt(hand.attempt_id, **values)
        api.set_attempt(api.attempt(hand.job_id)["id"], not_before=db_now())
        successor = api.claim(hand.job_id)
        successor.beat("training")
        hand.attempt_id, hand.grant = successor.attempt_id, successor.grant

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
    """The bad row does not even cause a retry: values that make no sense are left out."""
    with listening() as listener:
        api = start(notify_urls=f"ops={listener.url('ops')}", notify_recoveries=0, label_limits={"team:*": 100})
        bad, good = api.running("bad", retry=RETRY), api.running("good", retry=RETRY)
        BAD[where](api, bad)
        for hand in (bad, good):
            api.let_lease_run_out(hand.attempt_id)
        api.conduct()
        assert failures(api) == {}
        with api.services.database.read() as session:
            states = dict(session.execute(select(Job.id, Job.state)).all())
        assert states == {bad.job_id: "recovering", good.job_id: "recovering"}
        # The job, the list and all metrics can be read.
        listed = api.http.get("/v1/jobs")
        assert listed.status_code == 200, listed.text
        assert {job["id"]: job["status"] for job in listed.json()["items"]} == states
        for part in ("", "/attempts", "/checkpoints", "/events", "/stages"):
            answer = api.http.get(f"/v1/jobs/{bad.job_id}{part}")
            assert answer.status_code == 200, (part, answer.text)
        assert metric(api, "baton_jobs{") == 2
        if where == "jobs.spec":
            return  # no worker can train the job until its spec is repaired
        # The job is trained to its end.
        successor = api.claim(bad.job_id)
        assert successor.beat("training").status_code == 200
        assert successor.checkpoint(50).status_code == 201
        assert successor.finish("succeeded").status_code == 200


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
