"""One attempt around a training loop that is none: what is restored, what is told, and how it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.goodput import Bucket, Stopwatch
from baton.domain.manifest import programs_prefix
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from baton.domain.views import AttemptView
from baton.domain.wire import (
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
from baton.storage.checksum import crc32c_of
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreUnavailable
from worker import retry
from worker.api_client.client import Refused
from worker.attempt import lease, restore
from worker.attempt.protocols import Control, Stopped, Workspace
from worker.attempt.runner import Runner
from worker.autotuning.folder import Folder
from worker.autotuning.transfer import NOT_WRITTEN, Compiler
from worker.checkpointing.checkpoint_files import Writer, read_checkpoint, write_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.failure_texts import CRASHED
from worker.preemption.notice import Notice

SPEC = {
    "name": "x", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 1}],
    "checkpoint": {"every": "7s"},
}  # fmt: skip
OWNER = Writer("j", "a", 1, {})
ARRAYS = {"x": np.arange(3)}


class Service:
    """Says yes to everything and keeps it."""

    def __init__(self, checkpoints: tuple[CheckpointRef, ...]) -> None:
        self.checkpoints = checkpoints
        self.beats: list[Heartbeat] = []
        self.notes: list[str] = []
        self.words: list[str] = []
        self.before: list[AttemptView] = []
        self.commits: list[CheckpointCommit] = []
        self.quarantined: list[str] = []
        self.missing: list[bool | None] = []
        self.refuses: Exception | None = None
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
        self.words.append(note.message)

    def attempts(self, _attempt_id: str, _job_id: str) -> list[AttemptView]:
        return self.before

    def commit_checkpoint(self, _attempt_id: str, commit: CheckpointCommit) -> None:
        self.commits.append(commit)

    def quarantine(self, _attempt_id: str, quarantine: Quarantine) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.quarantined.append(quarantine.prefix)
        self.missing.append(quarantine.missing)

    def finish(self, _attempt_id: str, finish: Finish) -> None:
        self.finished.append(finish)


class OldService(Service):
    """Does not know how some attempts fail."""

    def finish(self, attempt_id: str, finish: Finish) -> None:
        if finish.reason is Reason.DATA_CHANGED:
            raise Refused(422, "invalid-message", "reason: Input should be one of those from before")
        super().finish(attempt_id, finish)


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
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)


def snapshot(step: int) -> Snapshot:
    return Snapshot(Position(stage=0, epoch=0, step=step, global_step=step), ARRAYS, {})


def written(store: DirectoryStore, step: int) -> CheckpointRef:
    prefix = f"jobs/j/checkpoints/{step:010d}-1-0"
    done = write_checkpoint(store, prefix, snapshot(step), OWNER)
    position = snapshot(step).position
    return CheckpointRef(id=str(step), prefix=prefix, manifest_crc32c=done.manifest_crc32c, position=position, fence=1)


def damage(store: DirectoryStore, ref: CheckpointRef) -> None:
    store.put(f"{ref.prefix}/state.safetensors", b"nothing of the kind")


def run(
    service: Service,
    store: DirectoryStore,
    trainer: Trainer,
    tmp_path: Path,
    notice: Notice | None = None,
    compiler: Compiler | None = None,
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
        compiler=compiler,
    )
    assert attempt.run("a")
    (finish,) = service.finished
    return finish


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
    """A checkpoint that was committed and is not in the store."""
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
    """The service says whether it is this worker that sees another store; an older one says nothing."""
    service, trainer = Service((lost(store, 30), lost(store, 20))), Trainer()
    service.refuses = Refused(409, problem, "seen in file:///service") if problem else None
    finish = run(service, store, trainer, tmp_path)
    assert finish.reason is (Reason.WRONG_STORE if problem else Reason.RESTORE_FAILED)
    assert trainer.snapshots == []
    if problem:
        assert store.url in finish.message
        assert "file:///service" in finish.message


def test_a_file_that_cannot_be_made_is_an_event(store: Away, tmp_path: Path) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    def publish(control: Control) -> None:
        for _ in range(2):
            control.publish("best.keras", full, "application/octet-stream")
            control.note("between", "two files")

    service = Service(())
    assert run(service, store, Trainer(publish), tmp_path).outcome is Outcome.SUCCEEDED
    assert service.notes.count("file_failed") == 1
    assert any("best.keras" in word and "No space left" in word for word in service.words)


def test_a_store_that_is_away_is_waited_for(store: Away, tmp_path: Path) -> None:
    service, trainer = Service((written(store, 10),)), Trainer()
    store.failures = 3
    assert run(service, store, trainer, tmp_path).outcome is Outcome.SUCCEEDED
    assert trainer.snapshots[0] is not None
    assert service.quarantined == []


def test_but_not_for_ever(store: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_failure_that_the_service_does_not_know_is_told_all_the_same(store: Away, tmp_path: Path) -> None:
    def fail(_control: Control) -> None:
        raise JobFailure(Reason.DATA_CHANGED, "other data")

    finish = run(OldService(()), store, Trainer(fail), tmp_path)
    assert (finish.outcome, finish.reason) == (Outcome.FAILED, Reason.EXCEPTION)
    assert finish.message


@pytest.mark.parametrize("error", [SystemExit(3), type("Own", (BaseException,), {})("words")])
def test_a_program_that_ends_itself_is_told(store: Away, tmp_path: Path, error: BaseException) -> None:
    def fail(_control: Control) -> None:
        raise error

    finish = run(Service(()), store, Trainer(fail), tmp_path)
    assert (finish.outcome, finish.reason) == (Outcome.FAILED, Reason.EXCEPTION)
    assert str(error) in finish.message


def test_the_finish_tells_where_the_time_went(store: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(lease, "Stopwatch", lambda _clock: Stopwatch(lambda: now))

    def act(control: Control) -> None:
        nonlocal now
        now += 5.0
        with control.watch.measure(Bucket.TRAINING):
            control.tell(Phase.TRAINING)
            now += 10.0
            with control.watch.measure(Bucket.CHECKPOINT_STALL):
                now += 2.0
                control.save(control.name_checkpoint(5), snapshot(5), frozenset({CheckpointRole.LATEST}))
        raise Stopped

    service = Service(())
    finish = run(service, store, Trainer(act), tmp_path)
    (commit,) = service.commits
    assert commit.trained_seconds == finish.seconds["training"] == 10.0  # nothing is redone
    assert commit.stall_seconds == finish.seconds["checkpoint_stall"] == 2.0
    assert finish.seconds["startup"] == 5.0
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


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Compiler]]:
    """Makes what a training process on a GPU has. Each is that of another process."""
    made: list[Folder] = []
    monkeypatch.setenv("XLA_FLAGS", "")

    def make(**facts: str) -> Compiler:
        made.append(Folder(tmp_path / "runs"))
        # A cache of its own: nothing may come from there.
        return Compiler({"GPU": "H100", **facts}, tmp_path / f"cache-{len(made)}", made[-1])

    yield make
    for folder in made:
        folder.close()


def compiling(compiler: Compiler, *contents: bytes) -> Callable[[Control], None]:
    """A trainer that compiles, and saves after each step; after each XLA has written this, or nothing."""

    def act(control: Control) -> None:
        assert compiler.folder is not None
        for step, content in enumerate(contents, 1):
            if content:
                compiler.folder.file.write_bytes(content)
            control.checkpoint_due(1)
            control.save(control.name_checkpoint(step), snapshot(step), frozenset({CheckpointRole.LATEST}))
            control.load(f"jobs/j/checkpoints/{step:010d}-2-{step - 1}")  # waits for it

    return act


def saved(store: DirectoryStore, commit: CheckpointCommit) -> CheckpointRef:
    known = {"prefix": commit.prefix, "manifest_crc32c": commit.manifest_crc32c, "position": commit.position}
    return CheckpointRef.model_validate({"id": "c", "fence": 2, **known})


def after_a_compilation(
    store: DirectoryStore, tmp_path: Path, compiler: Callable[..., Compiler], *contents: bytes
) -> CheckpointRef:
    """The last checkpoint of an attempt that compiled."""
    first, service = compiler(), Service(())
    run(service, store, Trainer(compiling(first, *contents)), tmp_path, compiler=first)
    return saved(store, service.commits[-1])


def test_a_checkpoint_carries_the_results_of_the_compilations_before_it(
    store: Away, tmp_path: Path, compiler: Callable[..., Compiler]
) -> None:
    first, service = compiler(), Service(())
    run(service, store, Trainer(compiling(first, b"step\n", b"step, judge\n")), tmp_path, compiler=first)
    manifests = [read_checkpoint(store, commit.prefix, commit.manifest_crc32c)[1] for commit in service.commits]
    objects = [file.object for manifest in manifests if manifest.programs for file in manifest.programs.files]
    assert [store.get(name) for name in objects] == [b"step\n", b"step, judge\n"]
    assert {blob.name for blob in store.list(programs_prefix("j"))} == set(objects)
    assert service.notes == []


def test_without_what_was_compiled_the_log_says_so_once_and_the_resume_too(
    store: Away, tmp_path: Path, compiler: Callable[..., Compiler]
) -> None:
    first, second, service = compiler(), compiler(), Service(())
    run(service, store, Trainer(compiling(first, b"", b"")), tmp_path, compiler=first)
    assert service.notes == ["exact_resume_not_promised"]
    assert service.words == [f"a resume of this job may not be exact: {NOT_WRITTEN}"]
    service = Service((saved(store, service.commits[-1]),))
    run(service, store, Trainer(), tmp_path, compiler=second)
    assert service.words[0] == "resumed inexactly: the checkpoint has no autotuning results"


def test_it_is_there_before_the_next_attempt_compiles(
    store: Away, tmp_path: Path, compiler: Callable[..., Compiler]
) -> None:
    ref, second = after_a_compilation(store, tmp_path, compiler, b"step\n"), compiler()
    found: list[bytes] = []
    assert second.folder is not None
    file = second.folder.file
    service = Service((ref,))
    run(
        service,
        store,
        Trainer(lambda _control: found.append(file.read_bytes())),
        tmp_path,
        compiler=second,
    )
    assert (found, service.notes) == ([b"step\n"], ["restored"])


@pytest.mark.parametrize(
    ("spoil", "facts", "said"),
    [
        (b"", {}, "the autotuning results are damaged: they do not match the manifest"),
        (None, {}, "the autotuning results cannot be read: "),
        (b"step\n", {"GPU": "A100"}, "the autotuning results are of another GPU: H100, here A100"),
    ],
    ids=["damaged", "gone", "another GPU"],
)
def test_what_cannot_be_used_is_said_and_the_state_is_restored_all_the_same(
    store: Away,
    tmp_path: Path,
    compiler: Callable[..., Compiler],
    spoil: bytes | None,
    facts: dict[str, str],
    said: str,
) -> None:
    ref, second = after_a_compilation(store, tmp_path, compiler, b"step\n"), compiler(**facts)
    (blob,) = store.list(programs_prefix("j"))
    store.delete(blob.name)
    if spoil is not None:
        store.put(blob.name, spoil)
    service, trainer = Service((ref,)), Trainer()
    assert run(service, store, trainer, tmp_path, compiler=second).outcome is Outcome.SUCCEEDED
    assert [s and s.position.global_step for s in trainer.snapshots] == [1]
    assert (service.quarantined, service.notes) == ([], ["resumed_inexactly", "restored"])
    assert service.words[0].startswith(f"resumed inexactly: {said}")
    assert second.folder is not None
    assert list(second.folder.path.iterdir()) == []


def test_after_a_crash_at_once_the_next_attempt_goes_without(
    store: Away, tmp_path: Path, compiler: Callable[..., Compiler]
) -> None:
    ref, second = after_a_compilation(store, tmp_path, compiler, b"step\n"), compiler()
    service = Service((ref,))
    crashed = {
        "id": "1", "attempt": 1, "state": "failed", "fence": 1, "worker": "w", "reason": Reason.PROCESS_DIED.value,
        "message": f"{CRASHED} signal SIGSEGV", "created_at": datetime.now(UTC), "claimed_at": None,
        "finished_at": None, "lease_expires_at": None, "start_step": 1, "end_step": None,
    }  # fmt: skip
    service.before = [AttemptView.model_validate(crashed)]
    run(service, store, Trainer(), tmp_path, compiler=second)
    said = "resumed inexactly: the autotuning results are not used: attempt 1 failed with them before its first save"
    assert service.words[0] == said
    assert second.folder is not None
    assert list(second.folder.path.iterdir()) == []


def test_manifests_without_a_field_for_results_are_read(
    store: Away, tmp_path: Path, compiler: Callable[..., Compiler]
) -> None:
    old, second = written(store, 10), compiler()
    data = store.get(f"{old.prefix}/manifest.json").replace(b',"programs":null', b"")
    store.put(f"{old.prefix}/manifest.json", data)
    service, trainer = Service((old.model_copy(update={"manifest_crc32c": crc32c_of(data)}),)), Trainer()
    run(service, store, trainer, tmp_path, compiler=second)
    assert [s and s.position.global_step for s in trainer.snapshots] == [10]
    assert service.words[0] == "resumed inexactly: the checkpoint has no autotuning results"
    assert "--xla_gpu_dump_autotune_results_to" in os.environ["XLA_FLAGS"]


def test_a_processor_carries_nothing_and_says_nothing(store: Away, tmp_path: Path) -> None:
    service = Service((written(store, 10),))
    run(service, store, Trainer(), tmp_path)
    assert service.notes == ["restored"]
