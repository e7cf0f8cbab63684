"""Autotuning results of one attempt: what a checkpoint contains, what a resume uses, and what is reported if they
are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.domain.manifest import ProgramFile, ProgramSet
from baton.domain.spec import parse_spec
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreUnavailable
from worker.autotuning import folder as folders
from worker.autotuning.folder import FILE, Folder
from worker.autotuning.resume import resume
from worker.autotuning.transfer import (
    NONE_CARRIED,
    NOT_COMPILED,
    NOT_WRITTEN,
    Compiler,
    ResultsTransfer,
    UnusableResults,
)

H100 = {"GPU": "NVIDIA H100 80GB HBM3", "driver": "550.54", "TensorFlow": "2.21.0"}
JOB, TEXT, STEP = "j" * 32, b"version: 3\nresults {\n}\n", 40

Made = Callable[..., ResultsTransfer]


class Counting(DirectoryStore):
    """Counts writes."""

    puts = 0

    def put(self, *args: Any, **named: Any) -> Any:
        self.puts += 1
        return super().put(*args, **named)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "store")


@pytest.fixture
def make(store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """A function that makes the transfer of another process.

    `cache`: its machine. `deterministic`: a field of the spec.
    """
    monkeypatch.setenv("XLA_FLAGS", "--before")
    made: list[Folder] = []

    def one(cache: str = "cache", deterministic: bool | str = "auto", **facts: str) -> ResultsTransfer:
        made.append(Folder(tmp_path / "runs"))
        return Compiler({**H100, **facts}, tmp_path / cache, made[-1]).transfer(store, JOB, spec(deterministic))

    yield one
    for folder in made:
        folder.close()


def spec(deterministic: bool | str = "auto") -> Any:
    data = {"name": "n", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 1}]}
    return parse_spec({**data, "deterministic": deterministic})


def compile_with(transfer: ResultsTransfer, data: bytes = TEXT) -> None:
    """Write the file as XLA does after a compilation."""
    folder_of(transfer).file.write_bytes(data)


def folder_of(transfer: ResultsTransfer) -> Folder:
    assert transfer._folder is not None
    return transfer._folder


def there(transfer: ResultsTransfer) -> bytes | None:
    """The data that XLA finds when it first compiles."""
    found = folder_of(transfer).found()
    loads = "--xla_gpu_load_autotune_results_from" in os.environ["XLA_FLAGS"]
    assert loads == (found is not None)
    return found.data if found else None


@pytest.fixture
def carried(make: Made, monkeypatch: pytest.MonkeyPatch) -> ProgramSet:
    """The results that a first attempt on another machine left in the store."""
    first = make(cache="first")
    first.begin()
    compile_with(first)
    assert first.check() is None
    sent = first.send(first.found())
    monkeypatch.setenv("XLA_FLAGS", "--before")
    return ProgramSet.model_validate_json(sent.model_dump_json())


def away(_name: str) -> bytes:
    raise StoreUnavailable("the bucket is away")


def test_the_next_process_has_the_results_of_the_one_before(make: Made, store: Counting, carried: ProgramSet) -> None:
    one = make()
    assert resume(one, carried, store.get, None, STEP) is None
    assert there(one) == TEXT
    found = one.found()
    assert (one.send(found), store.puts) == (carried, 1)


def test_each_content_is_sent_once(make: Made, store: Counting) -> None:
    one = make()
    one.begin()
    compile_with(one)
    first = one.send(one.found())
    assert (store.puts, one.send(one.found())) == (1, first)
    compile_with(one, TEXT + TEXT)
    second = one.send(one.found())
    assert (store.puts, first.files[0].object != second.files[0].object) == (2, True)


def test_results_that_another_attempt_stored_are_named_too(
    make: Made, store: Counting, carried: ProgramSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.put
    monkeypatch.setattr(store, "put", lambda *args: put(*args, if_absent=True))  # as the service stores them
    one = make()
    one.begin()
    compile_with(one)
    assert one.send(one.found()) == carried


# --- reports ---


@pytest.mark.parametrize("deterministic", ["auto", False, True])
def test_flags_that_xla_does_not_follow_are_told(make: Made, deterministic: bool | str) -> None:
    """With deterministic operations XLA measures nothing and needs no results."""
    one = make(deterministic=deterministic)
    one.begin()
    assert one.check() == (None if deterministic is True else NOT_WRITTEN)
    assert (one.check(), one.found(), one.send(one.found()).files) == (None, None, ())


def test_a_restored_file_does_not_hide_them(make: Made, store: Counting, carried: ProgramSet) -> None:
    """XLA did not write this file, so it did not use it either, and the next checkpoint must not contain it."""
    one = make()
    one.restore(carried, store.get)
    assert one.found() is not None
    assert one.check() == NOT_WRITTEN
    assert one.send(one.found()).files == ()


@pytest.mark.parametrize("deterministic", ["auto", True])
def test_an_empty_set_is_no_exact_resume(make: Made, store: Counting, deterministic: bool | str) -> None:
    before, one = make(deterministic=deterministic), make(deterministic=deterministic)
    empty = before.send(before.found())
    warning = None if deterministic is True else NONE_CARRIED
    assert [resume(one, carried, store.get, None, STEP) for carried in (empty, None)] == [warning, warning]
    assert resume(one, empty, store.get, None, 0) is None  # nothing was computed before step 0


def test_a_gpu_without_compiled_steps_is_never_exact(store: Counting, tmp_path: Path, carried: ProgramSet) -> None:
    one = Compiler.open(H100, tmp_path, compiled=False).transfer(store, JOB, spec())
    one.begin()
    assert (one.check(), one.found()) == (NOT_COMPILED, None)
    warning = resume(one, carried, store.get, None, STEP)
    assert warning == f"the autotuning results are not used: {NOT_COMPILED}"
    assert resume(one, one.send(None), store.get, None, STEP) == NONE_CARRIED
    exact = Compiler.open(H100, tmp_path, compiled=False).transfer(store, JOB, spec(True))
    assert (exact.check(), resume(exact, exact.send(None), store.get, None, STEP)) == (None, None)


def test_a_cache_without_space_is_told(store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "ROOM", 2**70)
    compiler = Compiler.open(H100, tmp_path, compiled=True)
    one = compiler.transfer(store, JOB, spec())
    one.begin()
    assert "the cache of the worker cannot hold autotuning results: less than" in (one.check() or "")
    compiler.close()


def test_a_processor_needs_no_results(carried: ProgramSet) -> None:
    assert resume(None, carried, away, None, STEP) is None


def test_results_that_cannot_be_used_are_named_and_not_used(make: Made, store: Counting, carried: ProgramSet) -> None:
    one, (entry,) = make(), carried.files
    assert resume(one, carried, away, None, STEP) == "the autotuning results cannot be read: the bucket is away"
    for damage in (b"", TEXT[:-1], TEXT + b"x"):
        store.put(entry.object, damage)
        warning = resume(one, carried, store.get, None, STEP)
        assert warning == "the autotuning results are damaged: they do not match the manifest"
    store.delete(entry.object)
    assert "the autotuning results cannot be read" in (resume(one, carried, store.get, None, STEP) or "")
    assert there(one) is None


@pytest.mark.parametrize("deterministic", ["auto", True])
def test_another_kind_of_machine_is_named(make: Made, store: Counting, deterministic: bool | str) -> None:
    before, other = make(deterministic=deterministic), make(deterministic=deterministic, GPU="A100")
    warning = "the autotuning results are of another GPU: NVIDIA H100 80GB HBM3, here A100"
    assert resume(other, before.send(None), store.get, None, STEP) == warning


def test_compiled_programs_of_earlier_versions_are_not_fetched(make: Made, carried: ProgramSet) -> None:
    old = ProgramFile(name="xla_compile_cache__1.pb", size=1, crc32c="00000000", object="jobs/x/programs/code.pb")
    with pytest.raises(UnusableResults, match=NONE_CARRIED):
        make().restore(carried.model_copy(update={"files": (old,)}), away)


def test_a_name_leads_nowhere_else(make: Made, store: Counting, carried: ProgramSet) -> None:
    (entry,) = carried.files
    outside = carried.model_copy(update={"files": (entry.model_copy(update={"name": f"../{FILE}"}),)})
    assert resume(make(), outside, store.get, None, STEP) == NONE_CARRIED


def test_results_that_were_lost_in_the_store_are_sent_again(make: Made, store: Counting, carried: ProgramSet) -> None:
    (entry,), one = carried.files, make()
    store.put(entry.object, b"")
    assert resume(one, carried, store.get, None, STEP)
    compile_with(one)
    assert one.send(one.found()) == carried
    assert store.get(entry.object) == TEXT


# --- the cache of this machine ---


def test_a_second_job_begins_with_the_results_of_the_first(make: Made) -> None:
    one, other = make(), make()
    one.begin()
    compile_with(one)
    one.keep(one.found())
    compile_with(one, TEXT + TEXT)
    one.keep(one.found())
    other.begin()
    assert there(other) == TEXT + TEXT


def test_a_resumed_run_uses_nothing_of_this_machine_and_replaces_nothing(
    make: Made, store: Counting, carried: ProgramSet
) -> None:
    first, one, later = make(), make(), make()
    first.begin()
    compile_with(first, b"other\n")
    first.keep(first.found())
    assert resume(one, carried, store.get, None, STEP) is None
    assert there(one) == TEXT
    one.keep(one.found())
    later.begin()
    assert there(later) == b"other\n"


def test_doubted_results_are_used_by_nobody_on_this_machine(make: Made, store: Counting, carried: ProgramSet) -> None:
    first, one, later = make(), make(), make()
    first.begin()
    compile_with(first)
    first.keep(first.found())
    assert resume(one, carried, store.get, "doubted", STEP) == "doubted"
    assert there(one) is None
    later.begin()
    assert there(later) is None


def test_a_cache_that_was_cleared_meanwhile_costs_nothing(make: Made, store: Counting, carried: ProgramSet) -> None:
    one = make()
    folder = folder_of(one)
    folder.path.rmdir()
    assert resume(one, carried, store.get, None, STEP) is None
    assert there(one) == TEXT
    folder.empty()
    found = one.found()  # the results in memory still go into the next checkpoint
    assert found is not None
    assert found.data == TEXT
    folder.path.write_bytes(b"")
    warning = "the autotuning results could not be written to the disk of this machine"
    assert resume(one, carried, store.get, None, STEP) == warning
