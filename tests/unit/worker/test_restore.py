"""Which checkpoint an attempt restores, and what it does when a checkpoint is damaged, missing or not available."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from baton.domain.errors import JobFailure
from baton.domain.manifest import Manifest, ProgramFile, ProgramSet
from baton.domain.reasons import Reason
from baton.domain.start_from import Start
from baton.domain.wire import CheckpointRef, Claim, Outcome, Phase, Position, WorkerInfo
from tests.unit.worker.attempt_run import Away, Trainer, damage, run, written
from tests.unit.worker.fake_service import Service
from worker.api_client.client import Refused
from worker.attempt import restore
from worker.attempt.copied_checkpoint import as_own, own_programs
from worker.checkpointing.snapshot import Snapshot
from worker.preemption.notice import Notice

pytestmark = pytest.mark.usefixtures("no_retry_wait")
WORKER = WorkerInfo(name="w", host="h", pid=1, version="0")


def test_the_newest_checkpoint_that_can_be_read_is_taken(store: Away, tmp_path: Path) -> None:
    old, bad = written(store, 10), written(store, 20)
    damage(store, bad)
    service, trainer = Service((bad, old)), Trainer()
    assert run(service, store, trainer, tmp_path).outcome is Outcome.SUCCEEDED
    assert service.quarantined == [bad.prefix]
    assert [s and s.position.global_step for s in trainer.snapshots] == [10]
    assert service.notes == ["restored"]


def test_none_left_means_from_the_beginning_and_loudly(
    store: Away, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = written(store, 20)
    damage(store, bad)
    service, trainer = Service((bad,)), Trainer()
    run(service, store, trainer, tmp_path)
    assert (service.quarantined, trainer.snapshots) == ([bad.prefix], [None])
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("starting from the beginning" in text for text in warnings)


def lost(store: Away, step: int) -> CheckpointRef:
    """A committed checkpoint that is not in the store."""
    found = written(store, step)
    for blob in list(store.list(found.prefix)):
        store.delete(blob.name)
    return found


def test_one_that_is_missing_is_told_as_missing_and_the_one_before_it_taken(store: Away, tmp_path: Path) -> None:
    old, bad, gone = written(store, 10), written(store, 20), lost(store, 30)
    damage(store, bad)
    service, trainer = Service((gone, bad, old)), Trainer()
    run(service, store, trainer, tmp_path)
    assert (service.quarantined, service.missing) == ([gone.prefix, bad.prefix], [True, False])
    assert [s and s.position.global_step for s in trainer.snapshots] == [10]


@pytest.mark.parametrize("problem", ["wrong-store", ""])
def test_where_all_are_missing_nothing_begins_at_step_0(store: Away, tmp_path: Path, problem: str) -> None:
    """The service reports whether only this worker uses another store. An older service does not report it."""
    service, trainer = Service((lost(store, 30), lost(store, 20))), Trainer()
    service.refuses = Refused(409, problem, "seen in file:///service") if problem else None
    finish = run(service, store, trainer, tmp_path)
    assert finish.reason is (Reason.WRONG_STORE if problem else Reason.RESTORE_FAILED)
    assert trainer.snapshots == []
    if problem:
        assert store.url in finish.message
        assert "file:///service" in finish.message


def test_a_store_that_is_away_is_waited_for(store: Away, tmp_path: Path) -> None:
    service, trainer = Service((written(store, 10),)), Trainer()
    store.failures = 3
    assert run(service, store, trainer, tmp_path).outcome is Outcome.SUCCEEDED
    assert trainer.snapshots[0] is not None
    assert service.quarantined == []


def test_a_store_is_not_waited_for_without_end(store: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "RESTORE_SECONDS", -1.0)
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


def test_a_copy_is_read_with_the_names_of_its_own_job(tmp_path: Path) -> None:
    source, own = "1" * 32, "2" * 32
    best = f"jobs/{source}/checkpoints/0000000010-1-0"
    programs = ProgramSet(key="k", made_for={}, files=(ProgramFile(name="r", size=1, crc32c="0" * 8, object=best),))
    manifest = Manifest(
        job_id=source,
        attempt_id="a",
        fence=1,
        position=Position(stage=0, epoch=1, step=0, global_step=10),
        files=(),
        environment={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        programs=programs,
    )
    start = Start(job=source, name="first", global_step=10, fence=1, keeps_position=True)
    grant = (
        Service(())
        .claim("a", Claim(claim_id="c" * 8, worker=WORKER))
        .model_copy(update={"job_id": own, "start": start})
    )
    copy = CheckpointRef(
        id="c", prefix=best.replace(source, own), manifest_crc32c="0" * 8, position=manifest.position, fence=1
    )
    cursor = {"best": {"prefix": best, "metric": 1}, "stage_best": None, "schedule": {}}
    read = Snapshot(manifest.position, {}, cursor)
    found = as_own(read, manifest, grant, copy)
    assert found.cursor == {**cursor, "best": {"prefix": copy.prefix, "metric": 1}}
    assert (found.start, found.rows_from) == (start, 1)
    later = as_own(read, manifest.model_copy(update={"job_id": own}), grant, copy.model_copy(update={"fence": 2}))
    assert later is read
    assert own_programs(programs, own) == programs.model_copy(
        update={"files": (programs.files[0].model_copy(update={"object": copy.prefix}),)}
    )
    with pytest.raises(JobFailure, match="update all replicas"):
        as_own(read, manifest, grant.model_copy(update={"start": None}), copy)
