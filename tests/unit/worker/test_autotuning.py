"""Autotuning results: the key, the file of a process, the cache of a machine, and results that are not trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec, parse_spec
from baton.domain.views import AttemptView
from baton.system.file_locks import held
from worker.autotuning import folder as folders
from worker.autotuning import machine_cache
from worker.autotuning.folder import FILE, Folder, Results, open_folder
from worker.autotuning.key import AutotuningKey
from worker.autotuning.machine_cache import LocalCache
from worker.autotuning.resume import doubt
from worker.failure_texts import CRASHED

H100 = {"GPU": "NVIDIA H100 80GB HBM3", "driver": "550.54", "cuDNN": "9.3.0", "TensorFlow": "2.21.0"}
KEY = "h100-1"


def spec(**changes: Any) -> JobSpec:
    stage = {"image_size": 8, "batch_size": 4, "epochs": 1, **changes.pop("stage", {})}
    data = {"name": "n", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [stage], **changes}
    return parse_spec(data)


def results(text: str = "version: 3") -> Results:
    return Results.of(f"{text}\n".encode())


@pytest.fixture(autouse=True)
def flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--before")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "runs")
    yield made
    made.close()


# --- keys ---


def test_a_key_is_the_same_in_each_process_and_can_be_read() -> None:
    key = AutotuningKey.of(spec(), H100)
    assert key.text == AutotuningKey.of(spec(), dict(reversed(H100.items()))).text
    assert key.text.startswith("nvidia-h100-80gb-hbm3-tf2.21.0-")


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"deterministic": False},
        {"optimizer": {"name": "sgd", "momentum": 0.5}},
        {"network": {"name": "network-1"}},
        {"network": {"name": "network-2", "width": 0.5}},
        {"dataset": {"name": "digits", "per_class": 9}},
        {"stage": {"batch_size": 8}},
        {"stage": {"image_size": 16}},
        {"stage": {"validation_image_size": 16}},
        {"stage": {"augmentation": "paper-1"}},
    ],
    ids=str,
)
def test_fields_that_change_what_is_compiled_change_the_key(changes: dict[str, Any]) -> None:
    assert AutotuningKey.of(spec(**changes), H100).text != AutotuningKey.of(spec(), H100).text


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other", "seed": 7, "queue": "gpu", "priority": "low", "labels": {"a": "b"}},
        {"checkpoint": {"every": "7 steps"}, "retry": {"max_failures": 9}},
        {"stage": {"epochs": 9, "steps_per_epoch": 7, "schedule": {"name": "cyclic", "step_size": 20}}},
    ],
    ids=str,
)
def test_other_fields_do_not(changes: dict[str, Any]) -> None:
    assert AutotuningKey.of(spec(**changes), H100).text == AutotuningKey.of(spec(), H100).text


def test_another_version_of_pushed_data_does_not_either() -> None:
    keys = set()
    for digest in ("0" * 64, "1" * 64):
        found = spec().model_dump() | {"dataset": {"name": "image-folder", "data": f"photos@sha256:{digest}"}}
        keys.add(AutotuningKey.of(parse_spec(found), H100).text)
    assert len(keys) == 1


def test_differences_are_named() -> None:
    here = AutotuningKey.of(spec(), {**H100, "GPU": "A100", "cuDNN": "9.5.1"})
    before = AutotuningKey.of(spec(), H100).parts
    assert here.differences(before) == "GPU: NVIDIA H100 80GB HBM3, here A100; cuDNN: 9.3.0, here 9.5.1"
    assert AutotuningKey.of(spec(seed=1, precision="bfloat16"), H100).differences(before) == "spec"
    older = {name: value for name, value in before.items() if name != "cuDNN"} | {"CUDA libraries": "e3b0c44298fc"}
    explanation = AutotuningKey.of(spec(), H100).differences(older)
    assert explanation == "CUDA libraries: e3b0c44298fc, here none; cuDNN: none, here 9.3.0"


# --- the folder of a process ---


def test_the_flags_name_the_file_to_load_only_if_it_exists(folder: Folder) -> None:
    folder.announce()
    dump = f"--before --xla_gpu_dump_autotune_results_to='{folder.path}/{FILE}'"
    assert os.environ["XLA_FLAGS"] == dump
    os.environ["XLA_FLAGS"] = "--before"
    folder.put(b"version: 3\n")
    folder.announce()
    assert os.environ["XLA_FLAGS"] == f"{dump} --xla_gpu_load_autotune_results_from='{folder.path}/{FILE}'"


def test_only_a_file_that_xla_wrote_counts_as_written(folder: Folder) -> None:
    assert not folder.written()
    folder.put(b"version: 3\n")
    assert not folder.written()
    folder.file.write_bytes(b"version: 3\n")
    assert folder.written()


def test_a_file_is_read_again_only_after_a_change(folder: Folder) -> None:
    assert folder.found() is None
    folder.put(b"1\n")
    first = folder.found()
    assert first == Results.of(b"1\n")
    assert folder.found() is first
    folder.file.write_bytes(b"12\n")
    assert folder.found() == Results.of(b"12\n")


@pytest.mark.parametrize("data", [b"", b"version: 3\nresults", b"version: 3\n\0\0}\n"], ids=["empty", "cut", "torn"])
def test_a_damaged_file_gives_the_last_good_one(folder: Folder, data: bytes) -> None:
    folder.file.write_bytes(data)
    assert folder.found() is None
    folder.put(b"version: 3\n")
    assert folder.found() == results()
    folder.file.write_bytes(data)
    assert folder.found() == results()


KILLED = """
import os, signal, sys
from pathlib import Path
from worker.autotuning.folder import Folder
print(Folder(Path(sys.argv[1])).path.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_the_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(
    folder: Folder, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    left = tmp_path / "runs" / done.stdout.strip()
    assert left.is_dir()
    other = Folder(tmp_path / "runs")
    assert (left.exists(), folder.path.exists()) == (False, True)
    other.close()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {folder.path.name, f"{folder.path.name}.lock"}


def test_without_space_or_a_place_to_write_there_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        open_folder(tmp_path / "file")
    monkeypatch.setattr(folders, "ROOM", 2**70)
    with pytest.raises(OSError, match="MB are free"):
        open_folder(tmp_path)
    assert list((tmp_path / "autotuning" / "runs").iterdir()) == []


# --- the cache of a machine ---


@pytest.fixture
def sets(tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path / "sets")


def test_a_machine_keeps_results_by_their_keys(sets: LocalCache) -> None:
    assert sets.take(KEY) is None
    assert sets.give(KEY, results(), None)
    assert sets.take(KEY) == results()
    assert sets.take("other") is None
    sets.forget(KEY)
    assert sets.take(KEY) is None


def test_a_process_replaces_only_what_it_began_with(sets: LocalCache) -> None:
    assert sets.give(KEY, results("mine"), None)
    assert not sets.give(KEY, results("another's"), None)
    assert sets.give(KEY, results("mine and more"), results("mine"))
    assert not sets.give(KEY, results("mine and other"), results("mine"))
    assert sets.take(KEY) == results("mine and more")


@pytest.mark.parametrize("change", [lambda _: b"", lambda data: data[:-2], lambda data: data + b"x"])
def test_damaged_results_are_not_used_and_can_be_replaced(sets: LocalCache, tmp_path: Path, change: Any) -> None:
    assert sets.give(KEY, results(), None)
    (file,) = (tmp_path / "sets").glob("*.results")
    file.write_bytes(change(file.read_bytes()))
    assert sets.take(KEY) is None
    assert sets.give(KEY, results("new"), None)
    assert sets.take(KEY) == results("new")


def test_the_results_that_were_not_used_for_the_longest_time_go(
    sets: LocalCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_cache, "KEPT", 2)
    for number, key in enumerate("ab"):
        assert sets.give(key, results(), None)
        os.utime(tmp_path / "sets" / f"{key}.results", (number, number))
    assert sets.take("a")  # "a" is now the most recently used
    assert sets.give("c", results(), None)
    assert [bool(sets.take(key)) for key in "abc"] == [True, False, True]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    sets = LocalCache(tmp_path / "file")
    assert sets.take(KEY) is None
    assert not sets.give(KEY, results(), None)
    sets.forget(KEY)


def test_a_lock_that_a_stopped_process_holds_is_not_waited_for(
    sets: LocalCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sets.give(KEY, results(), None)
    monkeypatch.setattr(machine_cache, "LOCK_SECONDS", 0.0)
    with held(tmp_path / "sets" / f"{KEY}.lock"):
        assert sets.take(KEY) is None
        assert not sets.give(KEY, results("more"), results())
    assert sets.take(KEY) == results()


# --- results that are not trusted ---


def attempt(number: int, **changes: Any) -> AttemptView:
    return AttemptView(
        **{
            "id": str(number), "attempt": number, "state": "failed", "fence": number, "worker": "w",
            "reason": Reason.EXCEPTION.value, "message": "DataLossError", "created_at": datetime.now(UTC),
            "claimed_at": None, "finished_at": None, "lease_expires_at": None, "start_step": 40, "end_step": None,
            **changes,
        }
    )  # fmt: skip


CRASH = {"reason": Reason.PROCESS_DIED.value, "message": f"{CRASHED} signal SIGSEGV; see the worker's log"}
KILL = {"reason": Reason.PROCESS_DIED.value, "message": "the training process was killed (SIGKILL); no more is known"}


@pytest.mark.parametrize("how", [{}, CRASH, {"end_step": 40}], ids=["exception", "crash", "after an evaluation"])
def test_after_an_attempt_that_failed_at_once_the_next_goes_without(how: dict[str, Any]) -> None:
    explanation = doubt([attempt(1, **how), attempt(2, state="preempted", reason="preempted"), attempt(3)], 3, 40)
    assert explanation == "the autotuning results are not used: attempt 1 failed with them before its first save"


@pytest.mark.parametrize(
    "harmless",
    [
        KILL,
        {"state": "lost", "reason": "lease_expired"},
        {"state": "preempted", "reason": "preempted"},
        {"reason": "store_unavailable"},
        {"end_step": 60},
        {"start_step": 20},
    ],
    ids=str,
)
def test_other_ends_say_nothing_about_results(harmless: dict[str, Any]) -> None:
    assert doubt([attempt(1, **harmless)], 2, 40) is None


def test_an_attempt_does_not_doubt_itself() -> None:
    assert doubt([attempt(1)], 1, 40) is None
