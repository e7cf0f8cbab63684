"""Checkpoints, their roles, retention, quarantine, the history of epochs, and artifacts."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import service
from baton.domain.manifest import artifact_object, checkpoint_prefix
from baton.domain.service_events import SERVICE_EVENTS
from tests.service.clock import MovedClock
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, WorkerHand, assert_problem

pytestmark = ON_BOTH


def checkpoints(api: Api, job_id: str, state: str = "committed") -> list[dict[str, Any]]:
    return [c for c in api.items(job_id, "checkpoints") if c["state"] == state]


def roles(api: Api, job_id: str) -> dict[str, int]:
    """The step of the checkpoint that has each role."""
    return {role: c["global_step"] for c in api.items(job_id, "checkpoints") for role in c["roles"]}


def test_a_commit_makes_a_checkpoint_exist(api: Api) -> None:
    hand = api.running()
    answer = hand.checkpoint(10, "latest", "stage_best", "best")
    assert answer.status_code == 201
    assert answer.json()["position"]["global_step"] == 10
    assert roles(api, hand.job_id) == {"latest": 10, "stage_best": 10, "best": 10}
    shown = api.job(hand.job_id)["checkpoint"]
    assert shown["global_step"] == 10
    event = api.items(hand.job_id, "events")[-1]
    assert (event["kind"], event["actor"], event["data"]["global_step"]) == ("checkpoint", "worker:w1", 10)
    hand.checkpoint(20)
    assert roles(api, hand.job_id) == {"latest": 20, "stage_best": 10, "best": 10}


def test_the_same_commit_again_changes_nothing(api: Api) -> None:
    hand = api.running()
    prefix = hand.prefix(10)
    first, second = hand.checkpoint(10, prefix=prefix), hand.checkpoint(10, prefix=prefix)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert api.kinds(hand.job_id).count("checkpoint") == 1


def test_a_commit_names_only_its_own_objects(api: Api) -> None:
    hand, other = api.running(), api.running("w2")
    bad = [
        checkpoint_prefix(other.job_id, 10, hand.fence, 1),
        checkpoint_prefix(hand.job_id, 10, hand.fence + 1, 1),
        checkpoint_prefix(hand.job_id, 11, hand.fence, 1),
        f"jobs/{hand.job_id}/checkpoints/../../x",
    ]
    for prefix in bad:
        problem = assert_problem(hand.checkpoint(10, prefix=prefix), 422, "invalid-message")
        assert problem["errors"][0]["field"] == "prefix"
    assert checkpoints(api, hand.job_id) == []


def test_the_last_ones_the_best_and_what_they_need_are_kept(api: Api) -> None:
    hand = api.running(checkpoint={"keep": 2})
    base, best = hand.prefix(1), hand.prefix(2)
    hand.checkpoint(1, "stage_best", prefix=base)
    hand.checkpoint(2, "latest", "best", "stage_best", prefix=best)
    for step in range(3, 9):
        hand.checkpoint(step, "latest", needs=[best])
    assert {c["global_step"] for c in checkpoints(api, hand.job_id)} == {2, 7, 8}
    hand.checkpoint(9, "latest", "best", "stage_best")
    # Checkpoint 8 still needs checkpoint 2.
    assert {c["global_step"] for c in checkpoints(api, hand.job_id)} == {2, 8, 9}
    hand.checkpoint(10)
    assert {c["global_step"] for c in checkpoints(api, hand.job_id)} == {9, 10}


def test_needs_are_kept_through_each_other(api: Api) -> None:
    hand = api.running(checkpoint={"keep": 1})
    one, two = hand.prefix(1), hand.prefix(2)
    hand.checkpoint(1, prefix=one)
    hand.checkpoint(2, prefix=two, needs=[one])
    hand.checkpoint(3, needs=[two])
    assert {c["global_step"] for c in checkpoints(api, hand.job_id)} == {1, 2, 3}
    hand.checkpoint(4)
    assert {c["global_step"] for c in checkpoints(api, hand.job_id)} == {4}


def test_a_commit_that_needs_what_is_gone_is_refused(api: Api) -> None:
    hand = api.running(checkpoint={"keep": 1})
    gone = hand.prefix(1)
    hand.checkpoint(1, prefix=gone)
    hand.checkpoint(2)
    assert_problem(hand.checkpoint(3, needs=[gone]), 409, "conflict")
    assert roles(api, hand.job_id) == {"latest": 2}


def test_a_quarantined_checkpoint_is_never_offered_again(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(1, "latest", "best")
    hand.checkpoint(2, "latest", "best")
    bad = hand.checkpoint(3, "latest").json()["prefix"]
    hand.finish("preempted")
    successor = api.claim(hand.job_id, "w2")
    answer = successor.post("quarantine", prefix=bad, message="state.safetensors: checksum differs")
    assert answer.json()["state"] == "quarantined"
    assert roles(api, hand.job_id) == {"latest": 2, "best": 2}
    assert api.job(hand.job_id)["checkpoint"]["global_step"] == 2
    worse = successor.grant["checkpoints"][1]["prefix"]
    successor.post("quarantine", prefix=worse, message="again")
    assert roles(api, hand.job_id) == {"latest": 1, "best": 1}
    again = successor.post("quarantine", prefix=worse, message="again")
    assert again.status_code == 200
    assert api.kinds(hand.job_id).count("quarantined") == 2
    successor.finish("preempted")
    third = api.claim(hand.job_id, "w3")
    assert [c["position"]["global_step"] for c in third.grant["checkpoints"]] == [1]


@ON_SQLITE
def test_any_checkpoint_can_become_the_latest(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(1, "best")
    bad = hand.checkpoint(2, "latest").json()["prefix"]
    hand.post("quarantine", prefix=bad, message="bad")
    assert roles(api, hand.job_id) == {"best": 1, "latest": 1}


def test_what_needs_a_quarantined_one_is_not_offered_either(api: Api) -> None:
    hand = api.running()
    base = hand.prefix(1)
    bad = hand.checkpoint(1, "stage_best", "latest", prefix=base).json()["prefix"]
    hand.checkpoint(2, "latest", needs=[base])
    hand.post("quarantine", prefix=bad, message="bad")
    hand.finish("preempted")
    assert roles(api, hand.job_id) == {}
    assert api.job(hand.job_id)["checkpoint"] is None
    assert api.claim(hand.job_id).grant["checkpoints"] == []


def test_another_jobs_checkpoint_cannot_be_quarantined(api: Api) -> None:
    hand, other = api.running(), api.running("w2")
    theirs = other.checkpoint(1).json()["prefix"]
    assert_problem(hand.post("quarantine", prefix=theirs, message="x"), 404, "not-found")
    assert len(checkpoints(api, other.job_id)) == 1


def test_epochs_drive_the_stages(api: Api) -> None:
    hand = api.running()
    best = {"metric": "val_accuracy", "value": 0.4, "stage": 1, "epoch": 1}
    assert hand.epoch(1, 1, 1, best=best).status_code == 200
    job = api.job(hand.job_id)
    assert job["best"] == best
    assert job["metrics"] == {
        "loss": 1.0,
        "accuracy": 0.5,
        "val_loss": 1.1,
        "val_accuracy": 0.4,
        "learning_rate": 0.001,
    }
    stages = api.items(hand.job_id, "stages")
    assert [(s["state"], s["epochs_done"]) for s in stages] == [("active", 1), ("waiting", 0)]
    hand.epoch(2, 1, 2, stage_finished=True)
    assert api.job(hand.job_id)["best"] == best
    hand.epoch(3, 2, 1)
    stages = api.items(hand.job_id, "stages")
    assert [(s["state"], s["epochs_done"]) for s in stages] == [("succeeded", 2), ("succeeded", 1)]
    assert all(s["started_at"] <= s["finished_at"] for s in stages)
    wanted = ["epoch", "stage_started", "epoch", "stage_finished", "epoch", "stage_started", "stage_finished"]
    assert [kind for kind in api.kinds(hand.job_id) if "epoch" in kind or "stage" in kind] == wanted


def test_an_epoch_again_replaces_its_row(api: Api) -> None:
    hand = api.running()
    hand.epoch(1, 1, 1)
    hand.epoch(1, 1, 1, row={"val_loss": "NaN", "loss": "Infinity"})
    rows = api.items(hand.job_id, "history")
    assert [(row["epoch"], row["val_loss"], row["loss"]) for row in rows] == [(1, "NaN", "Infinity")]
    assert api.kinds(hand.job_id).count("stage_started") == 1


def test_the_database_says_when_an_epoch_was_finished(api: Api, clock: MovedClock) -> None:
    """The worker's clock is a year ahead.

    A repeated call keeps the recorded time. If an epoch is trained again, its time is recorded again.
    """
    hand = api.running()
    for moment in (10, 20):
        clock.to(moment)
        assert hand.epoch(1, 1, 1, row={"finished_at": "2031-01-01T00:00:00Z"}).status_code == 200
        row = api.items(hand.job_id, "history")[0]
        assert datetime.fromisoformat(row["finished_at"]) == clock.begun + timedelta(seconds=10)
    hand.finish("preempted")
    api.claim(hand.job_id, "w2").epoch(1, 1, 1)
    row = api.items(hand.job_id, "history")[0]
    assert datetime.fromisoformat(row["finished_at"]) == clock.begun + timedelta(seconds=20)


@pytest.mark.parametrize(("row", "field"), [({"stage": 3}, "row.stage"), ({"stage_epoch": 3}, "row.stage_epoch")])
def test_an_epoch_that_cannot_be(api: Api, row: dict[str, Any], field: str) -> None:
    hand = api.running()
    problem = assert_problem(hand.epoch(1, 1, 1, row=row), 422, "invalid-message")
    assert problem["errors"][0]["field"] == field
    assert api.items(hand.job_id, "history") == []


def test_notes_become_events(api: Api) -> None:
    hand = api.running()
    answer = hand.post("notes", kind="notice", message="going soon", data={"grace": "NaN"})
    assert answer.status_code == 201
    assert answer.json() == api.items(hand.job_id, "events")[-1]
    assert answer.json()["message"] == "going soon"
    assert answer.json()["data"] == {"grace": "NaN", "attempt": 1}


def test_an_artifact_points_at_an_immutable_object(api: Api) -> None:
    hand = api.running()
    hand.artifact("history.csv", b"one", content_type="text/csv")
    answer = hand.artifact("history.csv", b"three", content_type="text/csv")
    assert answer.status_code == 200
    listed = api.items(hand.job_id, "artifacts")
    assert [(a["name"], a["size"], a["content_type"]) for a in listed] == [("history.csv", 5, "text/csv")]
    assert api.http.get(listed[0]["url"]).content == b"three"


def test_an_artifact_names_only_its_own_object(api: Api) -> None:
    hand, other = api.running(), api.running("w2")
    bad = [
        artifact_object(other.job_id, hand.fence, 1, "best.keras"),
        artifact_object(hand.job_id, hand.fence + 1, 1, "best.keras"),
        artifact_object(hand.job_id, hand.fence, 1, "other.keras"),
        "jobs/x/versions/1-1/best.keras",
    ]
    for name in bad:
        problem = assert_problem(post_artifact(hand, "best.keras", name), 422, "invalid-message")
        assert problem["errors"][0]["field"] == "object"


@pytest.mark.parametrize("name", ["checkpoints", "versions", "logs"])
def test_an_artifact_cannot_take_a_folders_name(api: Api, name: str) -> None:
    hand = api.running()
    answer = post_artifact(hand, name, artifact_object(hand.job_id, hand.fence, 1, name))
    assert assert_problem(answer, 422, "invalid-message")["errors"][0]["field"] == "name"


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "x" * 101])
def test_an_artifact_with_a_bad_name(api: Api, name: str) -> None:
    hand = api.running()
    answer = post_artifact(hand, name, artifact_object(hand.job_id, hand.fence, 1, name))
    assert_problem(answer, 422, "invalid-request")


def post_artifact(hand: WorkerHand, name: str, target: str) -> Any:
    return hand.post("artifacts", name=name, object=target, size=1, crc32c="00000000", content_type="text/plain")


def test_the_largest_that_each_message_may_hold_fits(api: Api) -> None:
    """PostgreSQL limits the length of columns.

    No column may be shorter than the longest value that a message may have.
    """
    most, last, wide = 2**53, 2**31 - 1, "\U0001f600"
    hand = api.running(name="n" * 100, labels={"k" * 63: "v" * 63})
    position = {"stage": 1000, "epoch": last, "step": most, "global_step": most}
    assert hand.checkpoint(most, bytes=most, seconds=1e10, position=position).status_code == 201
    row = {"global_step": most, "image_size": last, "batch_size": last, "attempt": last, "seconds": 1e308}
    assert hand.epoch(last, 1, 1, row=row).status_code == 200
    metrics, seconds = {wide * 200: 1e308}, {"x" * 1000: 1e10}
    assert hand.beat(interval_seconds=1e308, metrics=metrics, seconds=seconds).status_code == 200
    assert hand.post("notes", kind="k" * 50, message=wide * 20_000, data={"a": 2**80}).status_code == 201
    info = {"name": wide * 200, "host": wide * 255, "pid": most, "version": wide * 50, "device": wide * 200}
    report = api.http.post("/v1/workers", json={**info, "queues": [wide * 200], "busy": True})
    assert report.status_code < 300, report.text
    assert hand.finish("failed", message=wide * 20_000).status_code == 200
    other = WorkerHand(api, api.attempt(api.submit()["id"])["id"], "", claim_id="c" * 64)
    claim = {"claim_id": other.claim_id, "worker": info}
    assert api.http.post(f"/v1/attempts/{other.attempt_id}/claim", json=claim).status_code == 200


@pytest.mark.parametrize("kind", ["succeeded", "attempt_lost", "checkpoint"])
def test_a_worker_cannot_say_what_only_the_service_may(api: Api, kind: str) -> None:
    hand = api.running()
    before = api.kinds(hand.job_id)
    answer = hand.post("notes", kind=kind, message="so I say")
    assert assert_problem(answer, 422, "invalid-request")["errors"][0]["field"] == "kind"
    assert api.kinds(hand.job_id) == before


def test_the_events_of_the_service_are_known() -> None:
    written_kinds = {
        kind
        for source in Path(service.__file__).parent.rglob("*.py")
        for found in re.findall(r'\.event\(\s*[^,"]+,\s*"(\w+)"|^EVENT = "(\w+)"', source.read_text(), re.M)
        for kind in found
        if kind
    }
    assert written_kinds
    assert written_kinds == {kind for kind in SERVICE_EVENTS if not kind.startswith("attempt_")}
