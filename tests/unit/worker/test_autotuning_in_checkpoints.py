"""Checkpoints contain autotuning results. The next attempt uses them or reports why it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from baton.domain.manifest import programs_prefix
from baton.domain.reasons import Reason
from baton.domain.views import AttemptView
from baton.domain.wire import CheckpointCommit, CheckpointRef, CheckpointRole, Outcome
from baton.storage.checksum import crc32c_of
from baton.storage.directory import DirectoryStore
from tests.unit.worker.attempt_run import Away, Trainer, run, snapshot, written
from tests.unit.worker.fake_service import Service
from worker.attempt.protocols import Control
from worker.autotuning.folder import Folder
from worker.autotuning.transfer import NOT_WRITTEN, Compiler
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.failure_texts import CRASHED

pytestmark = pytest.mark.usefixtures("no_retry_wait")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Compiler]]:
    """A function that makes the `Compiler` of a training process on a GPU. Each call stands for another process."""
    made: list[Folder] = []
    monkeypatch.setenv("XLA_FLAGS", "")

    def make(**facts: str) -> Compiler:
        made.append(Folder(tmp_path / "runs"))
        # a separate cache, so that the results can only come from the checkpoint
        return Compiler({"GPU": "H100", **facts}, tmp_path / f"cache-{len(made)}", made[-1])

    yield make
    for folder in made:
        folder.close()


def compiling(compiler: Compiler, *contents: bytes) -> Callable[[Control], None]:
    """A trainer that compiles and saves after each step.

    Each of `contents` is what XLA has written before that step; empty: nothing.
    """

    def act(control: Control) -> None:
        assert compiler.folder is not None
        for step, content in enumerate(contents, 1):
            if content:
                compiler.folder.file.write_bytes(content)
            control.checkpoint_due(1)
            control.save(control.name_checkpoint(step), snapshot(step), frozenset({CheckpointRole.LATEST}))
            control.load(f"jobs/j/checkpoints/{step:010d}-2-{step - 1}")  # waits until the checkpoint is written

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
    ("spoil", "facts", "warning"),
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
    warning: str,
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
    assert service.words[0].startswith(f"resumed inexactly: {warning}")
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
    warning = "resumed inexactly: the autotuning results are not used: attempt 1 failed with them before its first save"
    assert service.words[0] == warning
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
