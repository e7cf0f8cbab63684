"""The code of a job on a worker: unpacked once for each machine, read-only, always the files of its digest."""

from __future__ import annotations

import os
import tarfile
import threading
from pathlib import Path

import pytest

from baton.domain.code_bundle import bundle_object
from baton.domain.errors import JobFailure
from baton.system.data_cache import data_folder
from tests.support.bundles import bundle, crafted, digest_of, entry
from tests.support.pushed_data import CountedStore
from worker.fetched.entries import Entries
from worker.fetched.eviction import make_room
from worker.programs.code import unpacked, working_copy

FILES = {"train.py": b"print('hello')\n", "tools/run.sh": b"#!/bin/sh\n", "pkg/__init__.py": b""}


@pytest.fixture
def store(tmp_path: Path) -> CountedStore:
    return CountedStore(tmp_path / "store")


def push(store: CountedStore, content: bytes) -> str:
    store.put(bundle_object(digest_of(content)), content)
    return f"sha256:{digest_of(content)}"


def unpack(store: CountedStore, code: str, cache: Path) -> Path:
    """One attempt that unpacks the code and ends."""
    entries = Entries(cache)
    try:
        return unpacked(entries, store, code)
    finally:
        entries.close()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failure(store: CountedStore, code: str, cache: Path) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        unpack(store, code, cache)
    assert not list(cache.rglob("*.py"))
    return caught.value


def test_the_files_are_read_only_and_the_next_attempt_reads_nothing(tmp_path: Path, store: CountedStore) -> None:
    code = push(store, bundle(FILES, executable=["tools/run.sh"]))
    folder = unpack(store, code, tmp_path / "cache")
    assert content(folder) == FILES
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert modes == {
        "train.py": 0o444, "tools": 0o555, "tools/run.sh": 0o555, "pkg": 0o555, "pkg/__init__.py": 0o444,
    }  # fmt: skip
    store.delete(bundle_object(code.removeprefix("sha256:")))
    assert unpack(store, code, tmp_path / "cache") == folder


def test_an_attempt_works_in_a_copy_that_it_may_change(tmp_path: Path, store: CountedStore) -> None:
    folder = unpack(store, push(store, bundle(FILES, executable=["tools/run.sh"])), tmp_path / "cache")
    working_copy(folder, tmp_path / "work")
    assert content(tmp_path / "work") == FILES
    (tmp_path / "work" / "train.py").write_bytes(b"changed")
    (tmp_path / "work" / "pkg" / "log.txt").touch()
    assert os.access(tmp_path / "work" / "tools" / "run.sh", os.X_OK)
    assert content(folder) == FILES


def _change(folder: Path) -> None:
    file = folder / "train.py"
    file.chmod(0o600)
    file.write_bytes(b"print('HELLO')\n")


def _replace_by_link(folder: Path) -> None:
    folder.chmod(0o700)
    (folder / "train.py").unlink()
    (folder / "train.py").symlink_to("tools/run.sh")


def _add(folder: Path) -> None:
    folder.chmod(0o700)
    (folder / "sitecustomize.py").write_text("raise SystemExit")


def _rewrite_archive(folder: Path) -> None:
    (folder.parent / "code.tar").write_bytes(bundle({"train.py": b"evil"}))


@pytest.mark.parametrize("harm", [_change, _replace_by_link, _add, _rewrite_archive])
def test_files_that_a_program_changed_are_not_used_again(tmp_path: Path, store: CountedStore, harm: object) -> None:
    code = push(store, bundle(FILES))
    folder = unpack(store, code, tmp_path / "cache")
    harm(folder)  # type: ignore[operator]  # one of the functions above
    again = unpack(store, code, tmp_path / "cache")
    assert (again != folder, content(again)) == (True, FILES)


def test_workers_of_one_machine_unpack_it_once(tmp_path: Path, store: CountedStore) -> None:
    code, found = push(store, bundle(FILES)), list[Path]()
    threads = [threading.Thread(target=lambda: found.append(unpack(store, code, tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found)), content(found[0])) == (4, 1, FILES)
    assert store.reads == [bundle_object(code.removeprefix("sha256:"))]


def test_what_a_killed_worker_left_is_no_obstacle(tmp_path: Path, store: CountedStore) -> None:
    code = push(store, bundle(FILES))
    left = data_folder(tmp_path / "cache") / f"{code.removeprefix('sha256:')}.part" / "folder" / "old"
    left.mkdir(parents=True)
    (left / "old.py").touch(0o444)
    left.chmod(0o555)
    assert content(unpack(store, code, tmp_path / "cache")) == FILES


def test_unused_code_makes_room_for_other_data(tmp_path: Path, store: CountedStore) -> None:
    folder = unpack(store, push(store, bundle(FILES)), tmp_path / "cache")
    cache = data_folder(tmp_path / "cache")
    make_room(cache, "0" * 64, 1, limit=1, doing="fetching data", tick=lambda: None)
    assert not folder.exists()
    assert not list(cache.glob("*.gone"))


@pytest.mark.parametrize(
    "archive",
    [
        crafted(("ok.py", b"1"), ("../evil.py", b"evil")),
        crafted(entry("link", tarfile.SYMTYPE, "/tmp"), ("link/evil.py", b"evil")),
        crafted(("a.py", b"1"), ("A.py", b"2")),
        crafted(entry("null", tarfile.CHRTYPE)),
        bundle({"a.py": b"x" * 5000})[:-2048],
        b"no archive",
    ],
    ids=["traversal", "link", "letter-case", "device", "cut", "no-archive"],
)
def test_a_hostile_archive_is_refused_before_a_file_is_written(
    tmp_path: Path, store: CountedStore, archive: bytes
) -> None:
    refused = failure(store, push(store, archive), tmp_path / "cache")
    assert (refused.reason, "nothing of it was unpacked" in str(refused)) == ("code_refused", True)
    assert not list(tmp_path.rglob("evil.py"))


def test_other_bytes_than_those_of_the_digest_are_refused(tmp_path: Path, store: CountedStore) -> None:
    code = push(store, bundle(FILES))
    store.put(bundle_object(code.removeprefix("sha256:")), bundle({"train.py": b"evil"}))
    assert failure(store, code, tmp_path / "cache").reason == "store_refused"


def test_code_that_is_not_in_the_store_is_refused(tmp_path: Path, store: CountedStore) -> None:
    refused = failure(store, f"sha256:{'0' * 64}", tmp_path / "cache")
    assert (refused.reason, "is not in the store" in str(refused)) == ("code_refused", True)
