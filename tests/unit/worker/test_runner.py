"""One attempt around a training loop that is none: what is restored, what is told, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.domain.goodput import Bucket
from core.domain.policies import Reason
from core.domain.spec import JobSpec
from core.domain.wire import (
    Beat,
    CheckpointCommit,
    CheckpointRef,
    CheckpointRole,
    Claim,
    Directive,
    Finish,
    Grant,
    Heartbeat,
    Note,
    Outcome,
    Phase,
    Position,
    Quarantine,
    WorkerInfo,
)
from core.storage.directory import DirectoryStore
from core.storage.errors import StoreUnavailable
from worker import patience, runner
from worker.checkpointing.files import Owner, write_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.control import Control, Stopped, Workspace
from worker.notice import Notice
from worker.runner import Runner

SPEC = {
    "name": "x", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 1}],
    "checkpoint": {"every": "7s"},
}  # fmt: skip
OWNER = Owner("j", "a", 1, {})
ARRAYS = {"x": np.arange(3)}


class Service:
    """Says yes to everything and keeps it."""

    def __init__(self, checkpoints: tuple[CheckpointRef, ...]) -> None:
        self.checkpoints = checkpoints
        self.beats: list[Heartbeat] = []
        self.notes: list[str] = []
        self.commits: list[CheckpointCommit] = []
        self.quarantined: list[str] = []
        self.finished: list[Finish] = []

    def claim(self, attempt_id: str, _claim: Claim) -> Grant:
        return Grant(
            attempt_id=attempt_id,
            job_id="j",
            attempt=2,
            fence=2,
            lease_seconds=30,
            heartbeat_seconds=10,
            spec=SPEC,
            checkpoints=self.checkpoints,
            seconds_between_interruptions=3600,
        )

    def heartbeat(self, _attempt_id: str, beat: Heartbeat) -> Beat:
        self.beats.append(beat)
        return Beat(directive=Directive.CONTINUE, lease_seconds=30)

    def note(self, _attempt_id: str, note: Note) -> None:
        self.notes.append(note.kind)

    def commit_checkpoint(self, _attempt_id: str, commit: CheckpointCommit) -> None:
        self.commits.append(commit)

    def quarantine(self, _attempt_id: str, quarantine: Quarantine) -> None:
        self.quarantined.append(quarantine.checkpoint_id)

    def finish(self, _attempt_id: str, finish: Finish) -> None:
        self.finished.append(finish)


class Trainer:
    """Trains nothing; remembers what it was given."""

    def __init__(self, act: Callable[[Control], None] = lambda _control: None) -> None:
        self.act = act
        self.snapshots: list[Snapshot | None] = []

    def __call__(self, _spec: JobSpec, control: Control, _at: Workspace, snapshot: Snapshot | None) -> dict[str, float]:
        self.snapshots.append(snapshot)
        self.act(control)
        return {"done": 1.0}


class Away(DirectoryStore):
    """A store that does not answer the first reads."""

    failures = 0

    def get(self, name: str) -> bytes:
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailable("the bucket is away")
        return super().get(name)


@pytest.fixture
def store(tmp_path: Path) -> Away:
    return Away(tmp_path)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting takes no time."""
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.0)


def snapshot(step: int) -> Snapshot:
    return Snapshot(Position(stage=0, epoch=0, step=step, global_step=step), ARRAYS, {})


def written(store: DirectoryStore, step: int) -> CheckpointRef:
    prefix = f"jobs/j/checkpoints/{step:010d}-1-0"
    whole = write_checkpoint(store, prefix, snapshot(step), OWNER)
    position = snapshot(step).position
    return CheckpointRef(id=str(step), prefix=prefix, manifest_crc32c=whole.manifest_crc32c, position=position, fence=1)


def damage(store: DirectoryStore, ref: CheckpointRef) -> None:
    store.put(f"{ref.prefix}/state.safetensors", b"nothing of the kind")


def run(
    service: Service, store: DirectoryStore, trainer: Trainer, tmp_path: Path, notice: Notice | None = None
) -> Finish:
    environment: Mapping[str, str] = {}
    attempt = Runner(
        client=service,  # type: ignore[arg-type]  # the calls that an attempt makes
        store=store,
        trainer=trainer,
        workspace=Workspace(tmp_path, 1, 0),
        worker=WorkerInfo(name="w", host="h", pid=1, version="0"),
        notice=notice or Notice(),
        environment=environment,
        grace=5.0,
        claimed=lambda _grant: None,
    )
    assert attempt.run("a")
    (finish,) = service.finished
    return finish


def test_the_newest_checkpoint_that_can_be_read_is_taken(store: Away, tmp_path: Path) -> None:
    old, bad = written(store, 10), written(store, 20)
    damage(store, bad)
    service, trainer = Service((bad, old)), Trainer()
    assert run(service, store, trainer, tmp_path).outcome is Outcome.SUCCEEDED
    assert service.quarantined == ["20"]
    assert [s and s.position.global_step for s in trainer.snapshots] == [10]
    assert service.notes == ["restored"]


def test_none_left_means_from_the_beginning_and_loudly(
    store: Away, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = written(store, 20)
    damage(store, bad)
    service, trainer = Service((bad,)), Trainer()
    run(service, store, trainer, tmp_path)
    assert (service.quarantined, trainer.snapshots) == (["20"], [None])
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("starting from the beginning" in text for text in warnings)


def test_a_store_that_is_away_is_waited_for(store: Away, tmp_path: Path) -> None:
    service, trainer = Service((written(store, 10),)), Trainer()
    store.failures = 3
    assert run(service, store, trainer, tmp_path).outcome is Outcome.SUCCEEDED
    assert trainer.snapshots[0] is not None
    assert service.quarantined == []


def test_but_not_for_ever(store: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RESTORE_SECONDS", -1.0)
    service, trainer = Service((written(store, 10),)), Trainer()
    store.failures = 10**9
    finish = run(service, store, trainer, tmp_path)
    assert (finish.outcome, finish.reason, finish.phase) == (
        Outcome.FAILED,
        Reason.STORE_UNAVAILABLE,
        Phase.RESTORING,
    )
    assert "the bucket is away" in finish.message
    assert trainer.snapshots == []


def test_a_notice_ends_the_wait_for_the_store(store: Away, tmp_path: Path) -> None:
    service, notice = Service((written(store, 10),)), Notice()
    notice.give("SIGTERM")
    store.failures = 10**9
    finish = run(service, store, Trainer(), tmp_path, notice)
    assert (finish.outcome, finish.reason, finish.message) == (Outcome.PREEMPTED, Reason.PREEMPTED, "SIGTERM")


def test_the_finish_tells_where_the_time_went(store: Away, tmp_path: Path) -> None:
    def act(control: Control) -> None:
        with control.watch.measure(Bucket.TRAINING):
            control.tell(Phase.TRAINING)
            with control.watch.measure(Bucket.CHECKPOINT_STALL):
                control.save(control.name_checkpoint(5), snapshot(5), frozenset({CheckpointRole.LATEST}))
        raise Stopped

    service = Service(())
    finish = run(service, store, Trainer(act), tmp_path)
    (commit,) = service.commits
    assert 0 < commit.trained_seconds == pytest.approx(finish.seconds["training"], abs=0.1)  # nothing is redone
    assert 0 < commit.stall_seconds <= finish.seconds["checkpoint_stall"]
    assert finish.seconds["startup"] > 0
    assert finish.phase is Phase.STOPPING


def test_heartbeats_carry_seconds_and_the_interval(store: Away, tmp_path: Path) -> None:
    def act(control: Control) -> None:
        assert not control.checkpoint_due(1)
        control.tell(Phase.LOADING)

    service = Service(())
    run(service, store, Trainer(act), tmp_path)
    told: list[Any] = [beat.interval_seconds for beat in service.beats]
    assert set(told) <= {None, 7.0}
    assert all(beat.seconds for beat in service.beats)
