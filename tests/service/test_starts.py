"""A job that starts from a checkpoint of another job: what it takes, the copy, the wait for it, and its failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from baton.storage import BlobStore
from service.db.operation_tables import PassFailure
from service.db.tables import Checkpoint, CheckpointCopy, Job
from service.reconciler import checkpoint_copying, job_deletion
from service.reconciler.isolation import Isolation
from service.usecases.deletion import LAST_WRITE
from tests.service.helpers import Api, WorkerHand, assert_problem, worker_info
from tests.service.starting_points import FILES, longer, objects, saved, start_from, trained
from tests.service.stored_checkpoints import sweep
from tests.support.moved_clock import MovedClock

WORKER = {**worker_info("new"), "protocol": 5, "spec_version": 5}


def claim(api: Api, job_id: str, worker: dict[str, Any] = WORKER) -> Any:
    hand = WorkerHand(api, api.attempt(job_id)["id"], job_id, "new")
    return hand, api.http.post(
        f"/v1/attempts/{hand.attempt_id}/claim", json={"claim_id": hand.claim_id, "worker": worker}
    )


def claimed(api: Api, job_id: str) -> WorkerHand:
    # An older worker may have refused the attempt, which delays it.
    api.set_attempt(api.attempt(job_id)["id"], not_before=datetime(2026, 1, 1, tzinfo=UTC))
    hand, answer = claim(api, job_id)
    assert answer.status_code == 200, answer.text
    hand.grant = answer.json()
    return hand


def test_a_start_waits_for_its_copy_and_then_goes_on_at_the_position(api: Api) -> None:
    source, best, latest = trained(api)
    job = start_from(api, source.job_id, set=longer(), name="second")
    assert (job["status"], job["name"]) == ("queued", "second")
    assert job["waiting_for"] == f"the copy of the checkpoint at step 20 of job small ({source.job_id})"
    point = {"role": "latest", "global_step": 20}
    made_from = {"kind": "from", "job": source.job_id, "name": "small", "checkpoint": point, "deleted": False}
    assert job["source"] == made_from
    assert_problem(claim(api, job["id"])[1], 409, "conflict")
    api.conduct()
    found = api.job(job["id"])
    assert "copy" not in found["waiting_for"]
    assert found["checkpoint"]["global_step"] == 20
    assert objects(api, job["id"]) == objects(api, source.job_id)
    shown = [(c["global_step"], c["roles"], c["state"]) for c in api.items(job["id"], "checkpoints")]
    assert shown == [(20, ["latest"], "committed"), (10, ["best"], "committed")]
    assert_problem(claim(api, job["id"], worker_info("old"))[1], 409, "worker-too-old")

    grant = claimed(api, job["id"]).grant
    assert [ref["prefix"] for ref in grant["checkpoints"]] == [
        prefix.replace(source.job_id, job["id"]) for prefix in (latest, best)
    ]
    assert grant["fence"] > grant["start"]["fence"] == source.fence
    start = {"keeps_position": True, "keeps_schedule": True, "learning_rate": None, "why": ""}
    assert {name: grant["start"][name] for name in start} == start
    assert api.attempt(job["id"])["start_step"] == 20
    assert "checkpoint_copied" in api.kinds(job["id"])


@pytest.mark.parametrize(
    ("changes", "keeps", "why"),
    [
        ({"stages.1.schedule": {"name": "cyclic"}}, {"keeps_schedule": False, "learning_rate": None}, ""),
        ({"optimizer.learning_rate": 0.5}, {"keeps_schedule": False, "learning_rate": 0.5}, ""),
        ({"stages.0.schedule": {"name": "cyclic"}, "limits.stall": "20m"}, {"keeps_schedule": True}, ""),
        ({"stages.0.batch_size": 8, "seed": 7}, None, "seed, stages.0.batch_size"),
        ({"stages.0.epochs": 5}, None, "stages.0.epochs"),
        ({"dataset.classes": 5}, None, "dataset.classes"),
        ({"optimizer.name": "sgd"}, None, "optimizer.name"),
        ({"stages": [{"image_size": 16, "epochs": 2, "batch_size": 64}]}, None, "stages"),
    ],
)
def test_what_is_kept_depends_on_what_changes(
    api: Api, changes: dict[str, Any], keeps: dict[str, Any] | None, why: str
) -> None:
    source, _, latest = trained(api)
    job = start_from(api, source.job_id, set=changes)
    api.conduct()
    grant = claimed(api, job["id"]).grant
    assert grant["start"]["keeps_position"] is (keeps is not None)
    assert grant["start"]["why"] == why
    assert keeps is None or keeps.items() <= grant["start"].items()
    if keeps is None:  # only the weights: no other checkpoint is needed, and training begins at step 0
        (ref,) = grant["checkpoints"]
        assert ref["prefix"] == latest.replace(source.job_id, job["id"])
        assert ref["position"] == {"stage": 0, "epoch": 0, "step": 0, "global_step": 0}
        assert api.job(job["id"])["checkpoint"] is None


def test_the_source_may_be_deleted_after_the_copy(api: Api) -> None:
    source, _, _ = trained(api)
    job = start_from(api, source.job_id, "best", set={"seed": 3})
    api.conduct()
    for blob in list(api.services.store.list(f"jobs/{source.job_id}/")):
        api.services.store.delete(blob.name)
    hand = claimed(api, job["id"])
    hand.beat("training")
    saved(hand, (0, 0, 5, 5), "latest")
    sweep(api)
    assert len([name for name in objects(api, job["id"]) if name.endswith("manifest.json")]) == 2


def test_a_start_from_a_start(api: Api) -> None:
    """A third job starts from a copy: it does not keep what the second job did not keep of the copy."""
    source, _, latest = trained(api)
    second = start_from(api, source.job_id, set={"seed": 3})
    api.conduct()
    third = start_from(api, second["id"])
    api.conduct()
    start = claimed(api, third["id"]).grant["start"]
    assert (start["job"], start["keeps_position"]) == (second["id"], False)
    assert start["why"] == "job small took only the weights of this checkpoint"
    assert any(name.startswith(latest.partition("/checkpoints/")[2], 12) for name in objects(api, third["id"]))


@pytest.mark.parametrize(
    ("request_", "field", "text"),
    [
        ({"checkpoint": 15}, "from.checkpoint", "no checkpoint at step 15; its checkpoints are at the steps 20, 10"),
        ({"checkpoint": 30}, "from.checkpoint", "at step 30 is quarantined"),
        ({"set": {"network.name": "network-1"}}, "network.name", "must have the network of that job"),
        ({"set": {"network.width": 0.3}}, "network.width", "must have the network of that job"),
        ({"set": {"stages.1.image_size": 31}}, "stages.1.image_size", "multiple of 8"),
        ({"set": {}, "checkpoint": 40}, "stages.1.epochs", "nothing is left to train"),
    ],
)
def test_a_start_that_is_refused_names_the_field(api: Api, request_: dict[str, Any], field: str, text: str) -> None:
    source, _, _ = trained(api)
    bad = saved(source, (1, 0, 20, 30), "latest")
    assert source.post("quarantine", prefix=bad, message="damaged").status_code == 200
    if request_.get("checkpoint") == 40:
        saved(source, (1, 1, 0, 40), "latest")
    point = {"job": source.job_id, "checkpoint": request_.get("checkpoint", "latest")}
    answer = api.http.post("/v1/jobs", json={"from": point, "set": request_.get("set", longer())})
    (error,) = assert_problem(answer, 422, "invalid-spec")["errors"]
    assert error["field"] == field
    assert text in error["message"]


def test_a_checkpoint_is_kept_while_it_is_copied(api: Api) -> None:
    source, best, latest = trained(api, checkpoint={"keep": 1})
    job = start_from(api, source.job_id, set=longer())
    for step in (30, 40):
        saved(source, (1, 0, step, step), "latest", "best")
    kept = {c["prefix"] for c in api.items(source.job_id, "checkpoints") if c["state"] == "committed"}
    assert {best, latest} < kept
    api.conduct()
    assert api.job(job["id"])["checkpoint"]["global_step"] == 20
    saved(source, (1, 0, 50, 50), "latest", "best")
    kept = {c["prefix"] for c in api.items(source.job_id, "checkpoints") if c["state"] == "committed"}
    assert not {best, latest} & kept


class Killed(BaseException):
    """The process ends at this point."""


class Dying:
    """A store whose process is killed at the `last`-th call that changes or reads an object."""

    def __init__(self, store: BlobStore, last: int) -> None:
        self._store, self.left = store, last

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.left -= 1
        if self.left < 0:
            raise Killed
        found: Callable[..., Any] = getattr(self._store, name)
        return found


def test_a_copy_that_is_killed_anywhere_is_completed(api: Api) -> None:
    source, _, _ = trained(api)
    job = start_from(api, source.job_id, set=longer())
    with api.services.database.read() as session:
        (row,) = session.scalars(select(CheckpointCopy))
        copies = [checkpoint_copying.Copied.model_validate(one) for one in row.checkpoints]
    killed = 0
    for last in range(100):
        store: Any = Dying(api.services.store, last)
        try:
            for one in copies:
                checkpoint_copying.copy_checkpoint(store, one, job["id"], lambda: None)
            break
        except Killed:
            killed += 1
            sweep(api, started_at=None) if last == 10 else None
    assert killed > 10
    api.conduct()
    assert objects(api, job["id"]) == objects(api, source.job_id)
    assert api.job(job["id"])["checkpoint"]["global_step"] == 20


@pytest.mark.parametrize("damage", ["state", "manifest", "gone"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_copy_that_is_not_possible_fails_the_job(api: Api, damage: str, paused: bool) -> None:
    source, _, latest = trained(api)
    job = start_from(api, source.job_id, set=longer())["id"]
    if paused:
        assert api.ask(job, "pause").status_code == 202
    name = f"{latest}/state.safetensors" if damage == "state" else f"{latest}/manifest.json"
    if damage == "gone":
        api.services.store.delete(name)
    else:
        api.put(name, b"x" * len(FILES["state.safetensors"]))
    api.conduct()
    found = api.job(job)
    assert (found["status"], found["reason"]) == ("failed", "source_lost")
    assert ("deleted before it was copied" if damage == "gone" else "damaged") in found["message"]
    assert api.attempt(job)["state"] == ("paused" if paused else "failed")
    api.conduct()
    assert not [name for name in objects(api, job) if name.startswith("checkpoints/")]


def test_a_start_is_paused_resumed_and_cancelled_before_its_copy(api: Api) -> None:
    source, _, _ = trained(api)
    one, other = (start_from(api, source.job_id, set=longer())["id"] for _ in range(2))
    assert api.ask(one, "pause").status_code == 202
    assert "copy" in api.ask(one, "resume").json()["waiting_for"]
    assert api.ask(other, "cancel").json()["status"] == "cancelled"
    assert_problem(claim(api, one)[1], 409, "conflict")
    api.conduct()
    assert claimed(api, one).grant["attempt"] == 2
    with api.services.database.read() as session:
        assert session.scalars(select(CheckpointCopy)).all() == []
        assert session.scalars(select(Checkpoint).where(Checkpoint.job_id == other)).all() == []


def test_a_failed_copy_is_tried_again_with_the_next_attempt(api: Api) -> None:
    source, _, latest = trained(api)
    job = start_from(api, source.job_id, set=longer())["id"]
    name = f"{latest}/state.safetensors"
    api.services.store.delete(name)
    api.conduct()
    assert api.job(job)["status"] == "failed"
    api.put(name, FILES["state.safetensors"])
    with api.services.database.write() as session:  # as a retry does
        session.execute(update(Job).where(Job.id == job).values(state="queued", finished_at=None))
    api.conduct()
    api.conduct()
    assert claimed(api, job).grant["start"]["global_step"] == 20


def test_the_deletion_of_the_source_waits_for_the_copy(api: Api, moved: MovedClock) -> None:
    source, _, _ = trained(api)
    source.finish("succeeded")
    before = objects(api, source.job_id)
    job = start_from(api, source.job_id, set=longer())
    assert api.http.delete(f"/v1/jobs/{source.job_id}").status_code == 202
    database = api.services.database
    job_deletion.delete_jobs(database, api.services.store, Isolation(database))
    assert objects(api, source.job_id) == before
    api.conduct()
    assert objects(api, job["id"]) == before
    assert api.job(job["id"])["source"]["deleted"]
    moved.move(LAST_WRITE.total_seconds() + 60)
    api.conduct()
    assert objects(api, source.job_id) == {}
    assert objects(api, job["id"]) == before


def test_a_deleted_job_gives_up_its_copy(api: Api) -> None:
    """Otherwise the checkpoint of the source would be kept forever, and the copy would be tried again and again."""
    source, _, _ = trained(api)
    job = start_from(api, source.job_id, set=longer())
    assert api.http.delete(f"/v1/jobs/{job['id']}?force=true").status_code == 202
    api.conduct()
    with api.services.database.read() as session:
        assert session.scalars(select(CheckpointCopy)).all() == []
        assert session.scalars(select(PassFailure)).all() == []
