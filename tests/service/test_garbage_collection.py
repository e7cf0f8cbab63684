"""Artifacts are published, and objects that are not needed any more are deleted from the store."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from baton.domain.manifest import artifact_object, checkpoint_prefix, program_object
from baton.storage.port import BlobInfo
from service.db.tables import Artifact, Garbage, Job
from service.db.types import db_now
from service.reconciler import artifact_publishing, orphaned_objects
from service.usecases.deletion import LAST_WRITE
from tests.service.helpers import ON_BOTH, Api
from tests.service.stored_checkpoints import save, stored, sweep

pytestmark = ON_BOTH


def test_artifacts_get_their_plain_name(api: Api) -> None:
    hand = api.running()
    hand.artifact("best.keras", b"one")
    api.conduct()
    store, plain = api.services.store, f"jobs/{hand.job_id}/best.keras"
    assert store.get(plain) == b"one"
    hand.artifact("best.keras", b"two")
    api.conduct()
    assert store.get(plain) == b"two"
    with api.services.database.read() as session:
        row = session.execute(select(Artifact)).scalar_one()
        assert row.published == row.object
        old = session.execute(select(Garbage)).scalar_one()
    assert store.get(old.object) == b"one"  # a reader may still be using it
    with api.services.database.write() as session:
        session.execute(update(Garbage).values(not_before=db_now()))
    api.conduct()
    assert store.stat(old.object) is None
    assert store.get(plain) == b"two"


def test_a_copy_that_came_late_does_not_last(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciler pauses between reading the row and copying, while another reconciler publishes a newer artifact."""
    hand = api.running()
    hand.artifact("best.keras", b"old")
    store, copy = api.services.store, api.services.store.copy

    def late(source: str, target: str) -> BlobInfo:
        monkeypatch.setattr(store, "copy", copy)
        hand.artifact("best.keras", b"new")
        api.conduct()
        assert store.get(f"jobs/{hand.job_id}/best.keras") == b"new"
        return copy(source, target)

    monkeypatch.setattr(store, "copy", late)
    artifact_publishing.publish(api.services.database, store)
    assert store.get(f"jobs/{hand.job_id}/best.keras") == b"old"
    api.conduct()
    assert store.get(f"jobs/{hand.job_id}/best.keras") == b"new"


def test_what_nobody_needs_is_deleted_from_the_store(api: Api) -> None:
    hand = api.running(checkpoint={"keep": 1})
    best = save(api, hand, 1, "latest", "best")
    save(api, hand, 2)
    last = save(api, hand, 3)
    api.conduct()
    assert stored(api, hand) == {best, last}
    states = [(c["global_step"], c["state"]) for c in api.items(hand.job_id, "checkpoints")]
    assert states == [(3, "committed"), (2, "deleted"), (1, "committed")]
    api.conduct()
    assert stored(api, hand) == {best, last}


def test_a_bad_checkpoint_is_kept_for_those_who_look_for_the_cause_until_the_job_ends(api: Api) -> None:
    hand = api.running()
    prefix = save(api, hand, 1)
    bad = api.items(hand.job_id, "checkpoints")[0]["prefix"]
    hand.post("quarantine", prefix=bad, message="bad")
    api.conduct()
    assert stored(api, hand) == {prefix}
    hand.finish("succeeded")
    api.conduct()
    assert stored(api, hand) == set()
    assert api.items(hand.job_id, "checkpoints")[0]["state"] == "quarantined"


def test_what_a_dead_attempt_never_committed_is_swept(api: Api) -> None:
    dead = api.running()
    kept = save(api, dead, 1)
    store = api.services.store
    orphan, version = dead.prefix(2), artifact_object(dead.job_id, dead.fence, 9, "best.keras")
    future = checkpoint_prefix(dead.job_id, 5, dead.fence + 7, 1)
    for name in (f"{orphan}/state.safetensors", version, f"{future}/x", f"jobs/{dead.job_id}/logs/1.txt"):
        store.put(name, b"x")
    api.conduct()
    assert orphan in stored(api, dead)  # the attempt is live and may still commit the object
    dead.finish("preempted")
    successor = api.claim(dead.job_id)
    mine = successor.prefix(3)
    store.put(f"{mine}/state.safetensors", b"x")
    with api.services.database.write() as session:
        session.execute(update(Job).values(sweep_at=db_now()))
    api.conduct()
    assert stored(api, dead) == {kept, mine, future}
    assert store.stat(version) is None
    assert store.stat(f"jobs/{dead.job_id}/logs/1.txt") is not None


def test_autotuning_results_stay_until_nobody_can_go_on_with_them(api: Api) -> None:
    hand = api.running()
    kept = save(api, hand, 1)
    store, program = api.services.store, program_object(hand.job_id, "cpu-1", "abc", "step.pb")
    store.put(program, b"x")
    sweep(api)
    assert store.stat(program) is not None
    hand.finish("succeeded")
    sweep(api)  # a process that lost its lease may still write a checkpoint that names this object
    assert store.stat(program) is not None
    sweep(api, finished_at=datetime.now(UTC) - 2 * LAST_WRITE)
    assert store.stat(program) is None
    assert stored(api, hand) == {kept}
    with api.services.database.read() as session:
        assert session.scalar(select(Job.sweep_at)) is None


def test_the_autotuning_results_of_a_failed_job_stay_for_a_retry(api: Api) -> None:
    hand = api.running()
    save(api, hand, 1)
    store, program = api.services.store, program_object(hand.job_id, "cpu-1", "abc", "step.pb")
    store.put(program, b"x")
    hand.finish("failed", reason="bad_data")
    sweep(api, finished_at=datetime.now(UTC) - 2 * LAST_WRITE)
    assert store.stat(program) is not None
    api.ask(hand.job_id, "retry")
    successor = api.claim(hand.job_id)
    orphan = successor.prefix(4)
    store.put(f"{orphan}/files/deep/er/state.bin", b"x")
    successor.finish("succeeded")
    sweep(api)  # the claim made the job due again
    assert store.stat(f"{orphan}/files/deep/er/state.bin") is None


def test_a_job_whose_deletion_is_ordered_during_its_sweep_stays_due(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = api.running()
    save(api, hand, 1)
    hand.finish("succeeded")
    store, delete = api.services.store, api.services.store.delete

    def ordered(name: str) -> None:
        monkeypatch.setattr(store, "delete", delete)
        api.http.delete(f"/v1/jobs/{hand.job_id}").raise_for_status()
        delete(name)

    store.put(f"{hand.prefix(9)}/state.safetensors", b"x")
    monkeypatch.setattr(store, "delete", ordered)
    with api.services.database.write() as session:
        session.execute(update(Job).values(sweep_at=db_now(), finished_at=datetime.now(UTC) - 2 * LAST_WRITE))
    orphaned_objects.sweep(api.services.database, store)
    with api.services.database.read() as session:
        job = session.scalars(select(Job)).one()
        assert job.deleted_at is not None
        assert job.sweep_at is not None
