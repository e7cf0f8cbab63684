"""Whatever part of the newest checkpoint is damaged, the one before it is used, and the result equals an
uninterrupted run's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from baton.domain.manifest import CURSOR, MANIFEST, STATE
from baton.storage import BlobStore, open_store
from tests.support.attempts import queued_attempt, runner
from tests.support.fake_trainer import FakeTrainer, final_state
from tests.support.jobs import Jobs, tiny
from tests.support.service import ServiceProcess
from worker.preemption.notice import Notice

STEPS = 40
SPEC = tiny(
    stages=[{"image_size": 8, "batch_size": 1, "epochs": 4, "steps_per_epoch": 10}], checkpoint={"every": "3 steps"}
)


@pytest.fixture(scope="module")
def store(service: ServiceProcess) -> BlobStore:
    return open_store(service.store_url)


def stop_at(step: int) -> tuple[FakeTrainer, Notice]:
    notice = Notice()
    return FakeTrainer(lambda now: notice.give("test") if now == step else None), notice


def half_done(service: ServiceProcess, jobs: Jobs, store: BlobStore) -> tuple[str, list[dict[str, Any]]]:
    """A job that was preempted at step 26, and its usable checkpoints, newest first."""
    job = jobs.submit(SPEC)
    trainer, notice = stop_at(25)
    assert runner(service, store, trainer, notice).run(queued_attempt(jobs, job))
    rows = [row for row in jobs.items(job, "checkpoints") if row["state"] == "committed"]
    rows.sort(key=lambda row: (row["global_step"], row["committed_at"]), reverse=True)
    assert rows[0]["global_step"] == 26
    assert len(rows) >= 3
    return job, rows


def change(name: str, edit: Callable[[bytearray], None]) -> Callable[[BlobStore, str], None]:
    def damage(store: BlobStore, prefix: str) -> None:
        data = bytearray(store.get(f"{prefix}/{name}"))
        edit(data)
        store.put(f"{prefix}/{name}", bytes(data))

    return damage


def flip(name: str, where: float) -> Callable[[BlobStore, str], None]:
    def edit(data: bytearray) -> None:
        data[int(where * (len(data) - 1))] ^= 0x10

    return change(name, edit)


def cut(name: str, share: float) -> Callable[[BlobStore, str], None]:
    return change(name, lambda data: data.__delitem__(slice(int(share * len(data)), None)))


def gone(name: str) -> Callable[[BlobStore, str], None]:
    return lambda store, prefix: store.delete(f"{prefix}/{name}")


DAMAGE = {
    "length of the header": flip(STATE, 0.0),
    "header": flip(STATE, 0.3),
    "tensor bytes": flip(STATE, 0.9),
    "last tensor byte": flip(STATE, 1.0),
    "state cut": cut(STATE, 0.7),
    "state empty": cut(STATE, 0.0),
    "state gone": gone(STATE),
    "cursor flipped": flip(CURSOR, 0.5),
    "cursor empty": cut(CURSOR, 0.0),
    "cursor gone": gone(CURSOR),
    "manifest's first byte": flip(MANIFEST, 0.0),
    "manifest's middle": flip(MANIFEST, 0.5),
    "manifest's end": flip(MANIFEST, 1.0),
    "manifest cut": cut(MANIFEST, 0.5),
    "manifest gone": gone(MANIFEST),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_the_one_before_is_used(
    service: ServiceProcess, jobs: Jobs, store: BlobStore, damage: Callable[[BlobStore, str], None]
) -> None:
    job, rows = half_done(service, jobs, store)
    damage(store, rows[0]["prefix"])
    trainer = FakeTrainer()
    assert runner(service, store, trainer).run(queued_attempt(jobs, job))
    assert trainer.started_at == [rows[1]["global_step"]]
    assert trainer.state == final_state(STEPS)
    assert jobs.show(job)["status"] == "succeeded"
    events = [event["kind"] for event in jobs.items(job, "events")]
    assert events.count("quarantined") == 1
    assert [row["epoch"] for row in jobs.items(job, "history")] == [1, 2, 3, 4]


def test_a_file_of_another_checkpoint_is_not_taken(service: ServiceProcess, jobs: Jobs, store: BlobStore) -> None:
    job, rows = half_done(service, jobs, store)
    store.copy(f"{rows[1]['prefix']}/{STATE}", f"{rows[0]['prefix']}/{STATE}")
    trainer = FakeTrainer()
    assert runner(service, store, trainer).run(queued_attempt(jobs, job))
    assert trainer.started_at == [rows[1]["global_step"]]
    assert trainer.state == final_state(STEPS)


def test_a_whole_checkpoint_of_another_step_is_not_taken(service: ServiceProcess, jobs: Jobs, store: BlobStore) -> None:
    job, rows = half_done(service, jobs, store)
    for name in (STATE, CURSOR, MANIFEST):
        store.copy(f"{rows[1]['prefix']}/{name}", f"{rows[0]['prefix']}/{name}")
    trainer = FakeTrainer()
    assert runner(service, store, trainer).run(queued_attempt(jobs, job))
    states = {row["prefix"]: row["state"] for row in jobs.items(job, "checkpoints")}
    assert states[rows[0]["prefix"]] == "quarantined"
    assert trainer.started_at == [rows[1]["global_step"]]
    assert trainer.state == final_state(STEPS)


def test_with_none_left_it_starts_from_the_beginning_and_says_so(
    service: ServiceProcess, jobs: Jobs, store: BlobStore
) -> None:
    job, rows = half_done(service, jobs, store)
    for row in rows:
        flip(STATE, 0.5)(store, row["prefix"])
    trainer = FakeTrainer()
    assert runner(service, store, trainer).run(queued_attempt(jobs, job))
    assert trainer.started_at == [0]
    assert trainer.state == final_state(STEPS)
    messages = [event["message"] for event in jobs.items(job, "events") if event["kind"] == "restarted"]
    assert messages == ["no checkpoint can be read: starting from the beginning"]


def test_where_all_are_missing_the_job_ends_and_says_so(service: ServiceProcess, jobs: Jobs, store: BlobStore) -> None:
    job, rows = half_done(service, jobs, store)
    for row in rows:
        store.delete(f"{row['prefix']}/{MANIFEST}")
    trainer = FakeTrainer()
    assert runner(service, store, trainer).run(queued_attempt(jobs, job))
    assert trainer.started_at == []
    view = jobs.show(job)
    assert (view["status"], view["reason"]) == ("failed", "wrong_store")
    assert rows[0]["prefix"] in view["message"]
    assert store.url in view["message"]
