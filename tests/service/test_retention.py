"""Retention: each kind is deleted after its time, in batches. Protected, young and used data is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from baton.domain.manifest import artifact_name, log_segment
from service.db.auth_tables import AuditEntry
from service.db.tables import (
    Artifact,
    Checkpoint,
    Event,
    Garbage,
    IdempotencyKey,
    Job,
    Pointer,
    Series,
    SeriesPoint,
    Worker,
)
from service.db.types import db_now
from service.reconciler import retention as passes
from service.settings import SettingsError, load_settings
from service.usecases import retention
from tests.service.failing import due_again, failures, poisoned
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, ON_SQLITE, Api, WorkerHand, spec
from tests.service.query_recorder import asked
from tests.service.query_scans import whole_tables
from tests.support.moved_clock import MovedClock, moved_clock

DAY = 86_400.0
KINDS = ("checkpoints", "artifacts", "events", "series", "logs")


@pytest.fixture
def begin(start: Callable[..., Api]) -> Iterator[Callable[..., tuple[Api, MovedClock]]]:
    """A service with these settings, and its clock."""
    contexts = []

    def make(**settings: Any) -> tuple[Api, MovedClock]:
        api = start(**settings)
        services = api.services
        databases = (services.database, services.leases, services.reconciler._database)
        context = moved_clock(*(one.engine for one in databases))
        contexts.append(context)
        return api, context.__enter__()

    yield make
    for context in contexts:
        context.__exit__(None, None, None)


def ended(api: Api, outcome: str = "succeeded", *, conduct: bool = True) -> WorkerHand:
    """A job that has ended, with a checkpoint, an artifact and a log. `conduct`: publish the artifact."""
    hand = api.running()
    assert hand.checkpoint(1, "latest", "best").status_code == 201
    assert hand.artifact("a.txt", b"text").status_code == 200
    assert hand.series(loss=[(1, 0.5), (2, 0.25)]).status_code == 200
    api.services.store.put(log_segment(hand.job_id, 1, hand.fence, 0), b"a line\n")
    if outcome == "cancelled":
        api.ask(hand.job_id, "cancel")
    assert hand.finish(outcome).status_code == 200
    if conduct:
        api.conduct()
    return hand


def prune(api: Api, *, dry_run: bool = False) -> dict[str, dict[str, Any]]:
    answer = api.http.post("/v1/prune", params={"dry_run": dry_run})
    assert answer.status_code == 200, answer.text
    return {one["kind"]: one for one in answer.json()["items"]}


def count(api: Api, model: Any, *where: Any) -> int:
    with api.services.database.read() as session:
        return session.scalar(select(func.count()).select_from(model).where(*where)) or 0


def objects(api: Api, job_id: str) -> set[str]:
    """What is in the folder of a job: the parts after its id."""
    return {blob.name.split("/")[2] for blob in api.services.store.list(f"jobs/{job_id}/")}


@ON_BOTH
def test_jobs_go_by_status_and_age(begin: Callable[..., tuple[Api, MovedClock]]) -> None:
    api, clock = begin(retention_jobs={"cancelled": 7 * DAY, "succeeded": 30 * DAY})
    cancelled, succeeded, protected = ended(api, "cancelled"), ended(api), ended(api)
    running = api.running("w9")
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == protected.job_id).values(protected=True))

    def shown() -> set[str]:
        return {one["id"] for one in api.http.get("/v1/jobs").json()["items"]}

    with asked() as statements:
        clock.move(8 * DAY)
        assert prune(api, dry_run=True)["jobs"] == {
            "kind": "jobs", "number": 1, "bytes": 14, "more": False, "left": 1,
        }  # fmt: skip
        assert cancelled.job_id in shown()
        assert prune(api)["jobs"] == {"kind": "jobs", "number": 1, "bytes": 14, "more": False, "left": 0}
        assert shown() == {succeeded.job_id, protected.job_id, running.job_id}
        clock.move(23 * DAY)
        api.conduct()
        assert shown() == {protected.job_id, running.job_id}
        clock.move(DAY)
        api.conduct()
    assert count(api, Job) == 2
    assert whole_tables(api, statements) == {}
    assert objects(api, succeeded.job_id) == objects(api, cancelled.job_id) == set()
    assert objects(api, protected.job_id) == {"checkpoints", "versions", "logs", "a.txt"}
    entries = [one for one in api.http.get("/v1/audit").json()["items"] if one["subject"] == succeeded.job_id]
    assert [(one["kind"], one["actor"]) for one in entries[:2]] == [
        ("job_deleted", "conductor"),
        ("job_delete_requested", "conductor"),
    ]
    assert "BATON_RETENTION_JOBS" in entries[1]["message"]


@pytest.mark.parametrize(
    "kinds", [*(pytest.param({one}, marks=ON_SQLITE) for one in KINDS), pytest.param(set(KINDS), marks=ON_POSTGRESQL)]
)
def test_a_part_of_a_job_goes_and_the_rest_stays(begin: Callable[..., tuple[Api, MovedClock]], kinds: set[str]) -> None:
    """A young job, a protected one and one with another status lose nothing."""
    api, clock = begin(**{f"retention_{kind}": {"succeeded": 30 * DAY} for kind in kinds})
    old, protected, other = ended(api), ended(api), ended(api, "cancelled")
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == protected.job_id).values(protected=True))
    clock.move(31 * DAY)
    young = ended(api, conduct=False)
    events = count(api, Event, Event.job_id == old.job_id)
    with asked() as statements:
        shown = prune(api, dry_run=True)
        assert {kind: shown[kind]["number"] for kind in kinds} == {
            kind: events if kind == "events" else 1 for kind in kinds
        }
        assert {shown[kind]["left"] for kind in kinds} != {0}
        assert {prune(api)[kind]["left"] for kind in kinds} == {0}
        clock.move(retention.READER_GRACE.total_seconds() + 1)
        for _ in range(2):
            api.conduct()
    assert whole_tables(api, statements) == {}
    full = {"checkpoints", "versions", "logs", "a.txt"}
    parts = {"checkpoints": {"checkpoints"}, "artifacts": {"versions", "a.txt"}, "logs": {"logs"}}
    assert objects(api, old.job_id) == full.difference(*(parts.get(kind, set()) for kind in kinds))
    for hand in (protected, other, young):
        assert objects(api, hand.job_id) == full
        assert count(api, Event, Event.job_id == hand.job_id) > 0
    left = {
        "checkpoints": count(api, Pointer, Pointer.job_id == old.job_id),
        "artifacts": count(api, Artifact, Artifact.job_id == old.job_id),
        "events": count(api, Event, Event.job_id == old.job_id),
        "series": count(api, Series, Series.job_id == old.job_id),
    }
    assert {kind for kind, number in left.items() if number == 0} == kinds - {"logs"}
    # Each of the other three jobs has two points.
    assert count(api, SeriesPoint) == (6 if "series" in kinds else 8)
    assert count(api, Garbage) == 0
    if "events" not in kinds:
        told = {event["data"]["what"] for event in api.items(old.job_id, "events") if event["kind"] == "pruned"}
        assert told == kinds & {"checkpoints", "artifacts"}
    assert {one["number"] for one in prune(api, dry_run=True).values()} == {0}


def test_logs_of_a_job_that_ran_again_go_again(begin: Callable[..., tuple[Api, MovedClock]]) -> None:
    api, clock = begin(retention_logs={"succeeded": DAY})
    hand = ended(api)
    clock.move(2 * DAY)
    prune(api)
    assert "logs" not in objects(api, hand.job_id)
    clock.move(DAY)
    with api.services.database.write() as session:  # as if it was retried, and had ended again
        session.execute(update(Job).values(finished_at=db_now()))
    api.services.store.put(log_segment(hand.job_id, 1, hand.fence, 0), b"a line\n")
    clock.move(2 * DAY)
    prune(api)
    assert "logs" not in objects(api, hand.job_id)


@ON_BOTH
def test_rows_of_the_service_go_by_age(
    begin: Callable[..., tuple[Api, MovedClock]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audit entries, dead workers and idempotency keys, two rows in each transaction."""
    monkeypatch.setattr(retention, "ROWS", 2)
    api, clock = begin(retention_audit=30 * DAY, retention_workers=30 * DAY)
    for number in range(5):
        headers = {"Idempotency-Key": f"key-{number}"}
        job = api.http.post("/v1/jobs", json=spec(), headers=headers).json()
        api.claim(job["id"], f"w{number}").finish("succeeded")
    holder = api.running("holder")
    clock.move(31 * DAY)
    api.http.post("/v1/jobs", json=spec(), headers={"Idempotency-Key": "new"})
    with asked() as statements:
        shown = prune(api, dry_run=True)
        assert {kind: one["number"] for kind, one in shown.items()} == {"audit": 6, "workers": 5, "keys": 5}
        api.conduct()
        assert {kind: one["number"] for kind, one in prune(api, dry_run=True).items()} == {
            "audit": 0, "workers": 0, "keys": 0,
        }  # fmt: skip
    assert whole_tables(api, statements) == {}
    with api.services.database.read() as session:
        assert list(session.scalars(select(IdempotencyKey.key))) == ["new"]
        assert list(session.scalars(select(Worker.name))) == ["holder"]
        kinds = list(session.scalars(select(AuditEntry.kind).order_by(AuditEntry.number)))
    assert kinds == ["job_submitted", *["audit_pruned"] * 3]
    assert holder.job_id in {one["id"] for one in api.http.get("/v1/jobs").json()["items"]}


def test_nothing_goes_by_default_but_keys(begin: Callable[..., tuple[Api, MovedClock]]) -> None:
    api, clock = begin()
    hand = ended(api)
    before = {model: count(api, model) for model in (Job, Event, Checkpoint, Artifact, Worker, AuditEntry)}
    clock.move(1_000 * DAY)
    api.conduct()
    assert {model: count(api, model) for model in before} == before
    assert objects(api, hand.job_id) == {"checkpoints", "versions", "logs", "a.txt"}
    assert list(prune(api, dry_run=True)) == ["keys"]


def test_a_pass_goes_on_after_each_batch_and_leaves_failing_items(
    begin: Callable[..., tuple[Api, MovedClock]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, clock = begin(retention_events={"cancelled": DAY})
    jobs = [api.submit()["id"] for _ in range(5)]
    for job_id in jobs:
        api.ask(job_id, "cancel")
    clock.move(2 * DAY)
    monkeypatch.setattr(passes, "BATCH", 2)
    monkeypatch.setattr(retention, "ROWS", 2)
    act = retention.prune_job

    def failing(unit: Any, rule: Any, job_id: str, actor: Any) -> bool:
        if job_id == jobs[0]:
            raise ValueError("its row cannot be read")
        return act(unit, rule, job_id, actor)

    monkeypatch.setattr(retention, "prune_job", failing)
    assert prune(api)["events"]["left"] > 0
    # The event about the failure is one of the job's events.
    assert [len(api.items(job_id, "events")) > 0 for job_id in jobs] == [True, False, False, False, False]


def test_one_job_whose_deletion_cannot_be_ordered_does_not_stop_its_batch(
    begin: Callable[..., tuple[Api, MovedClock]],
) -> None:
    api, clock = begin(retention_jobs={"cancelled": DAY})
    jobs = [api.submit()["id"] for _ in range(3)]
    for job_id in jobs:
        api.ask(job_id, "cancel")
    clock.move(2 * DAY)
    with poisoned(api, "UPDATE OF deleted_at", f"NEW.id = '{jobs[1]}'"):
        assert prune(api)["jobs"]["left"] == 1
    assert set(failures(api)) == {("prune_jobs", jobs[1])}
    due_again(api)
    assert prune(api)["jobs"]["left"] == 0
    assert failures(api) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("30", "BATON_RETENTION_JOBS"),
        ("lost=30d", "succeeded"),
        ("failed=30d,failed=7d", "twice"),
        ("failed", "30s, 5m"),
        ("5m", "at least 1h"),
        ("failed=5m", "at least 1h"),
        ("1000000d", "at most 36500d"),
    ],
)
def test_a_wrong_setting_names_itself(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    monkeypatch.setenv("BATON_TOKEN", "a-long-secret")
    monkeypatch.setenv("BATON_RETENTION_JOBS", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "BATON_RETENTION_JOBS" in str(caught.value)
    assert "such as 90d" in str(caught.value)
    assert words in str(caught.value)
    assert str(caught.value).count("such as 90d") == 1


def test_settings_are_durations_or_durations_by_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_TOKEN", "a-long-secret")
    monkeypatch.setenv("BATON_RETENTION_JOBS", "failed=30d, cancelled=7d")
    monkeypatch.setenv("BATON_RETENTION_EVENTS", "2d")
    monkeypatch.setenv("BATON_RETENTION_AUDIT", "")
    found = load_settings()
    assert found.retention_jobs == {"failed": 30 * DAY, "cancelled": 7 * DAY}
    assert found.retention_events == dict.fromkeys(("succeeded", "failed", "cancelled"), 2 * DAY)
    assert [kind.value for kind in found.retention.kinds()] == ["jobs", "events", "keys"]


def test_an_artifact_that_is_written_again_keeps_its_plain_name(begin: Callable[..., tuple[Api, MovedClock]]) -> None:
    """The garbage of the old version must not delete the copy of the new one."""
    api, clock = begin(retention_artifacts={"succeeded": DAY})
    hand = ended(api)
    clock.move(2 * DAY)
    prune(api)
    plain = artifact_name(hand.job_id, "a.txt")
    assert count(api, Garbage, Garbage.object == plain) == 1
    with api.services.database.write() as session:  # as if it was retried
        session.execute(update(Job).values(state="running", finished_at=None))
    api.set_attempt(hand.attempt_id, state="running", finished_at=None)
    assert hand.artifact("a.txt", b"newer").status_code == 200
    assert count(api, Garbage, Garbage.object == plain) == 0
