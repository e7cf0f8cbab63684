"""Compiled programs: for whom they are, what a process leaves, what a machine keeps, and what a checkpoint carries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.domain.manifest import ProgramSet
from core.domain.policies import Reason
from core.domain.spec import JobSpec, parse_spec
from core.domain.views import AttemptView
from core.storage.directory import DirectoryStore
from core.storage.errors import StoreUnavailable
from worker.process import CRASHED
from worker.programs import folder as folders
from worker.programs import machine
from worker.programs.carrier import Carrier, UnusableProgram
from worker.programs.folder import AUTOTUNING, Folder, Program, open_folder
from worker.programs.key import ProgramKey
from worker.programs.machine import INDEX, MachineCache, contents
from worker.programs.resume import doubt, resume

H100 = {"GPU": "NVIDIA H100 80GB HBM3", "driver": "550.54", "TensorFlow": "2.21.0"}
JOB, KEY = "j" * 32, "h100-1"
STEP, JUDGE, THIRD = (f"xla_compile_cache__{n}__{n}__XLA_GPU_JIT.pb" for n in (1, 2, 3))


def spec(**changes: Any) -> JobSpec:
    stage = {"image_size": 8, "batch_size": 4, "epochs": 1, **changes.pop("stage", {})}
    data = {"name": "n", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [stage], **changes}
    return parse_spec(data)


@pytest.fixture(autouse=True)
def flags(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_XLA_FLAGS", "XLA_FLAGS"):
        monkeypatch.setenv(name, "--before")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "runs")
    yield made
    made.close()


# --- keys ---


def test_a_key_is_the_same_in_each_process_and_can_be_read() -> None:
    key = ProgramKey.of(spec(), H100)
    assert key.text == ProgramKey.of(spec(), dict(reversed(H100.items()))).text
    assert key.text.startswith("nvidia-h100-80gb-hbm3-tf2.21.0-")
    assert ProgramKey.of(spec(), {"processor": "x", "TensorFlow": "2.21.0"}).text.startswith("cpu-tf2.21.0-")


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
def test_what_decides_the_program_is_part_of_its_key(changes: dict[str, Any]) -> None:
    assert ProgramKey.of(spec(**changes), H100).text != ProgramKey.of(spec(), H100).text


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other", "seed": 7, "queue": "gpu", "priority": "low", "labels": {"a": "b"}},
        {"checkpoint": {"every": "7 steps"}, "retry": {"max_failures": 9}},
        {"stage": {"epochs": 9, "steps_per_epoch": 7, "schedule": {"name": "cyclic", "step_size": 20}}},
    ],
    ids=str,
)
def test_and_what_does_not_is_none(changes: dict[str, Any]) -> None:
    assert ProgramKey.of(spec(**changes), H100).text == ProgramKey.of(spec(), H100).text


def test_what_differs_is_named() -> None:
    here = ProgramKey.of(spec(), {**H100, "GPU": "A100", "driver": "570.1"})
    before = ProgramKey.of(spec(), H100).parts
    assert here.differences(before) == "GPU: NVIDIA H100 80GB HBM3, here A100; driver: 550.54, here 570.1"
    assert ProgramKey.of(spec(seed=1, precision="bfloat16"), H100).differences(before) == "spec"
    cpu = ProgramKey.of(spec(), {"processor": "x", "TensorFlow": "2.21.0"})
    assert "GPU: NVIDIA H100 80GB HBM3, here none" in cpu.differences(before)


# --- a process's folder ---


def test_only_what_tensorflow_finished_is_found(folder: Folder) -> None:
    assert folder.found() == ()
    for name in (STEP, AUTOTUNING, f"{STEP}1.tmp", ".hidden.pb"):
        (folder.path / name).write_bytes(name.encode())
    assert {(p.name, p.data) for p in folder.found()} == {(STEP, STEP.encode()), (AUTOTUNING, AUTOTUNING.encode())}


def test_a_file_is_read_again_only_where_it_changed(folder: Folder) -> None:
    (folder.path / STEP).write_bytes(b"1")
    (folder.path / AUTOTUNING).write_bytes(b"1")
    first = {p.name: p for p in folder.found()}
    (folder.path / AUTOTUNING).write_bytes(b"12")
    second = {p.name: p for p in folder.found()}
    assert second[STEP] is first[STEP]
    assert (second[AUTOTUNING].data, second[AUTOTUNING].digest != first[AUTOTUNING].digest) == (b"12", True)


def test_the_flags_name_the_folder_and_measurements_only_where_there_are_some(folder: Folder) -> None:
    folder.announce()
    assert os.environ["TF_XLA_FLAGS"] == f"--before --tf_xla_persistent_cache_directory='{folder.path}'"
    folder.announce_autotuning()
    dump = f"--before --xla_gpu_dump_autotune_results_to='{folder.path}/{AUTOTUNING}'"
    assert os.environ["XLA_FLAGS"] == dump
    os.environ["XLA_FLAGS"] = "--before"
    folder.put(Program.of(AUTOTUNING, b"version: 3"))
    folder.announce_autotuning()
    assert os.environ["XLA_FLAGS"] == f"{dump} --xla_gpu_load_autotune_results_from='{folder.path}/{AUTOTUNING}'"


KILLED = """
import os, signal, sys
from pathlib import Path
from worker.programs.folder import Folder
print(Folder(Path(sys.argv[1])).path.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(folder: Folder, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    left = tmp_path / "runs" / done.stdout.strip()
    assert left.is_dir()
    other = Folder(tmp_path / "runs")
    assert (left.exists(), folder.path.exists()) == (False, True)
    other.close()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {folder.path.name, f"{folder.path.name}.lock"}


def test_without_room_or_a_place_to_write_there_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert open_folder(tmp_path / "file") is None
    monkeypatch.setattr(folders, "ROOM", 2**70)
    assert open_folder(tmp_path) is None
    assert list((tmp_path / "programs" / "runs").iterdir()) == []


# --- a machine's sets ---


@pytest.fixture
def sets(tmp_path: Path) -> MachineCache:
    return MachineCache(tmp_path / "sets")


def program(name: str, data: bytes = b"x") -> Program:
    return Program.of(name, data)


def test_a_machine_keeps_sets_by_their_keys(sets: MachineCache) -> None:
    both = (program(STEP), program(AUTOTUNING))
    assert sets.take(KEY) == ()
    assert sets.give(KEY, both)
    assert sets.take(KEY) == both
    assert sets.take("other") == ()
    sets.forget(KEY)
    assert sets.take(KEY) == ()


def test_only_who_has_all_of_a_set_may_replace_it(sets: MachineCache) -> None:
    first = (program(STEP, b"mine"), program(AUTOTUNING, b"1"))
    longer = (program(STEP, b"mine"), program(JUDGE), program(AUTOTUNING, b"12"))
    assert sets.give(KEY, first)
    assert not sets.give(KEY, (program(STEP, b"another's"), program(AUTOTUNING, b"1"), program(THIRD)))
    assert not sets.give(KEY, ())
    assert sets.give(KEY, longer)
    assert not sets.give(KEY, first)
    assert contents(sets.take(KEY)) == contents(longer)


@pytest.mark.parametrize("name", [STEP, INDEX])
@pytest.mark.parametrize("data", [b"", b"y", None], ids=["empty", "changed", "gone"])
def test_a_damaged_set_is_none_and_can_be_replaced(
    sets: MachineCache, tmp_path: Path, name: str, data: bytes | None
) -> None:
    assert sets.give(KEY, (program(STEP), program(JUDGE)))
    file = tmp_path / "sets" / KEY / name
    file.unlink() if data is None else file.write_bytes(data)
    assert sets.take(KEY) == ()
    assert sets.give(KEY, (program(STEP, b"new"),))
    assert sets.take(KEY) == (program(STEP, b"new"),)


def test_the_set_that_was_not_used_for_longest_goes(
    sets: MachineCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "KEPT", 2)
    for number, key in enumerate("ab"):
        assert sets.give(key, (program(STEP),))
        os.utime(tmp_path / "sets" / key / INDEX, (number, number))
    assert sets.take("a")  # used now
    assert sets.give("c", (program(STEP),))
    assert [bool(sets.take(key)) for key in "abc"] == [True, False, True]


def test_a_cache_that_cannot_be_written_costs_only_the_speed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    sets = MachineCache(tmp_path / "file")
    assert sets.take(KEY) == ()
    assert not sets.give(KEY, (program(STEP),))
    sets.forget(KEY)


# --- an attempt ---


def carrier(store: DirectoryStore, sets: MachineCache, folder: Folder, **changes: str) -> Carrier:
    return Carrier(store, JOB, ProgramKey.of(spec(), {**H100, **changes}), folder, sets)


def compiled(folder: Folder, *names: str, data: bytes = b"x") -> None:
    """What TensorFlow does when it compiles."""
    for name in names:
        (folder.path / name).write_bytes(data)


@pytest.fixture
def carried(store: DirectoryStore, tmp_path: Path) -> ProgramSet:
    """What a first attempt on another machine left in the store."""
    first = Folder(tmp_path / "first-runs")
    one = carrier(store, MachineCache(tmp_path / "first-sets"), first)
    one.begin()
    compiled(first, STEP, AUTOTUNING)
    return one.send(one.found())


def there(folder: Folder) -> dict[str, bytes]:
    return {p.name: p.data for p in folder.found()}


def test_the_next_process_has_what_the_one_before_compiled(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    read = ProgramSet.model_validate_json(carried.model_dump_json())
    carrier(store, sets, folder).restore(read, store.get)
    assert there(folder) == {STEP: b"x", AUTOTUNING: b"x"}
    assert "--xla_gpu_load_autotune_results_from" in os.environ["XLA_FLAGS"]


class Counting(DirectoryStore):
    """Counts writes."""

    puts = 0

    def put(self, *args: Any, **named: Any) -> Any:
        self.puts += 1
        return super().put(*args, **named)


def test_each_content_is_sent_once(sets: MachineCache, folder: Folder, tmp_path: Path) -> None:
    store = Counting(tmp_path / "store")
    one = carrier(store, sets, folder)
    one.begin()
    compiled(folder, STEP, AUTOTUNING)
    first = one.send(one.found())
    assert (store.puts, one.send(one.found())) == (2, first)
    compiled(folder, JUDGE)
    compiled(folder, AUTOTUNING, data=b"more")
    second = one.send(one.found())
    assert store.puts == 4
    assert len({file.object for file in (*first.files, *second.files)}) == 4
    other = carrier(store, sets, folder)
    other.restore(second, store.get)
    assert (other.send(other.found()), store.puts) == (second, 4)


def test_a_program_that_was_lost_in_the_store_is_sent_again_by_who_compiles_it_again(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    store.put(carried.files[0].object, b"")
    one = carrier(store, sets, folder)
    assert resume(one, carried, store.get, None)
    compiled(folder, STEP, AUTOTUNING)
    assert one.send(one.found()) == carried
    assert store.get(carried.files[0].object) == b"x"


def away(_name: str) -> bytes:
    raise StoreUnavailable("the bucket is away")


def test_what_cannot_be_used_is_not_put_in_place_and_named(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    one = carrier(store, sets, folder)
    assert resume(one, None, store.get, None) == "the checkpoint carries no compiled program"
    assert resume(one, carried, away, None) == (
        f"the compiled program cannot be read: {AUTOTUNING}: the bucket is away"
    )
    for damage in (b"", b"y", b"xx"):
        store.put(carried.files[1].object, damage)
        said = resume(one, carried, store.get, None)
        assert said == f"the compiled program is damaged: {STEP} has other bytes than its manifest says"
    store.delete(carried.files[1].object)
    assert "the compiled program cannot be read" in (resume(one, carried, store.get, None) or "")
    other = carrier(store, sets, folder, GPU="A100")
    said = "the compiled program is of another GPU: NVIDIA H100 80GB HBM3, here A100"
    assert resume(other, carried, store.get, None) == said
    assert there(folder) == {}


def test_a_name_leads_nowhere_else(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    files = (carried.files[0].model_copy(update={"name": "../step.pb"}),)
    with pytest.raises(UnusableProgram, match="damaged"):
        carrier(store, sets, folder).restore(carried.model_copy(update={"files": files}), store.get)
    assert not (folder.path.parent / "step.pb").exists()


def test_a_worker_that_compiles_nothing_says_so_where_the_one_before_did(
    store: DirectoryStore, carried: ProgramSet
) -> None:
    assert resume(None, carried, store.get, None) == "the compiled program is not used: this worker keeps none"
    assert resume(None, None, store.get, None) is None
    assert resume(None, carried.model_copy(update={"files": ()}), store.get, None) is None


def test_a_second_job_begins_with_what_the_first_compiled_here(
    store: DirectoryStore, sets: MachineCache, folder: Folder, tmp_path: Path
) -> None:
    one = carrier(store, sets, folder)
    one.begin()
    compiled(folder, STEP)
    one.keep(one.found())
    other = Folder(tmp_path / "runs")
    carrier(store, sets, other).begin()
    assert there(other) == {STEP: b"x"}
    other.close()


def test_a_run_that_goes_on_takes_nothing_of_this_machine(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    one = carrier(store, sets, folder)
    assert sets.give(ProgramKey.of(spec(), H100).text, (program(STEP, b"other"), program(JUDGE, b"other")))
    assert resume(one, carried, store.get, None) is None
    assert there(folder) == {STEP: b"x", AUTOTUNING: b"x"}
    one.keep(one.found())
    assert contents(sets.take(ProgramKey.of(spec(), H100).text)) == {
        (p.name, p.crc32c) for p in (program(STEP, b"other"), program(JUDGE, b"other"))
    }


def test_a_doubted_program_is_used_no_more_by_anybody_here(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    key = ProgramKey.of(spec(), H100).text
    assert sets.give(key, (program(STEP),))
    assert resume(carrier(store, sets, folder), carried, store.get, "doubted") == "doubted"
    assert (there(folder), sets.take(key)) == ({}, ())


def test_a_cache_that_somebody_removed_meanwhile_costs_nothing(
    store: DirectoryStore, sets: MachineCache, folder: Folder, carried: ProgramSet
) -> None:
    folder.path.rmdir()
    one = carrier(store, sets, folder)
    assert resume(one, carried, store.get, None) is None
    assert there(folder) == {STEP: b"x", AUTOTUNING: b"x"}
    for file in folder.path.iterdir():
        file.unlink()
    folder.path.rmdir()
    assert len(one.found()) == 2  # what is known goes with the next checkpoint all the same
    folder.path.write_bytes(b"")
    said = "the compiled program could not be written to this machine's disk"
    assert resume(one, carried, store.get, None) == said


# --- doubts ---


def attempt(number: int, **changes: Any) -> AttemptView:
    return AttemptView(
        **{
            "id": str(number), "attempt": number, "state": "failed", "fence": number, "worker": "w",
            "reason": Reason.EXCEPTION.value, "message": "DataLossError", "created_at": datetime.now(UTC),
            "claimed_at": None, "finished_at": None, "lease_expires_at": None, "start_step": 40, "end_step": None,
            **changes,
        }
    )  # fmt: skip


CRASH = {"reason": Reason.PROCESS_DIED.value, "message": f"{CRASHED} signal SIGSEGV; the worker's log says more"}
KILL = {"reason": Reason.PROCESS_DIED.value, "message": "the training process was killed (SIGKILL); no more is known"}


@pytest.mark.parametrize("how", [{}, CRASH, {"end_step": 40}], ids=["exception", "crash", "after an evaluation"])
def test_an_attempt_that_failed_at_once_has_the_next_go_without(how: dict[str, Any]) -> None:
    said = doubt([attempt(1, **how), attempt(2, state="preempted", reason="preempted"), attempt(3)], 3, 40)
    assert said == "the compiled program is not used: attempt 1 failed with it before it got any further"


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
def test_what_else_ends_an_attempt_says_nothing_about_programs(harmless: dict[str, Any]) -> None:
    assert doubt([attempt(1, **harmless)], 2, 40) is None


def test_nobody_doubts_himself() -> None:
    assert doubt([attempt(1)], 1, 40) is None
