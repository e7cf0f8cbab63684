"""The files that a directory store writes."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from baton.storage import AlreadyExists, BlobStore, InvalidName, open_store
from tests.contract.directory.temporary_files import size_of, temps
from tests.contract.objects import names
from tests.support.gcs import until


def test_people_find_an_object_under_its_own_name(store: BlobStore, root: Path) -> None:
    store.put("jobs/1/best.keras", b"weights")
    assert (root / "jobs" / "1" / "best.keras").read_bytes() == b"weights"


def test_other_users_may_read_what_the_umask_allows(store: BlobStore, root: Path) -> None:
    mask = os.umask(0o022)
    try:
        store.put("a", b"1")
    finally:
        os.umask(mask)
    assert (root / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.process
@pytest.mark.parametrize("round_", range(4))
def test_a_writer_killed_at_any_moment_leaves_a_whole_object(store: BlobStore, root: Path, round_: int) -> None:
    size = 12_000_000
    command = [sys.executable, "-m", "tests.contract.endless_writer", store.url, "a", str(size)]
    with subprocess.Popen(command) as writer:
        try:
            until(lambda: store.stat("a") is not None, 60, "the writer's first object")
            until(lambda: store.get("a")[0] > round_, 60, "some more")
            # kill it during a write: its temporary file exists and is not complete yet
            until(lambda: any(0 < size_of(temp) < size for temp in temps(root)), 60, "a half-written temporary file")
        finally:
            writer.kill()
    content = store.get("a")
    assert content == bytes([content[0]]) * size
    assert names(store) == ["a"]
    store.put("a", b"next")
    assert store.get("a") == b"next"


def test_leftovers_are_not_listed_and_go_after_a_day(store: BlobStore, root: Path) -> None:
    young, old = root / ".baton-tmp" / "young", root / ".baton-tmp" / "old"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    assert names(store) == names(store, ".") == []
    open_store(root.as_uri())
    assert temps(root) == [young]


def test_no_write_leaves_a_temporary_file(store: BlobStore, root: Path) -> None:
    store.put("a", b"1")
    store.copy("a", "b")
    store.check()
    with pytest.raises(AlreadyExists):
        store.put("a", b"2", if_absent=True)
    assert temps(root) == []


def test_no_name_is_a_folder_of_another(store: BlobStore) -> None:
    store.put("a/b", b"1")
    for if_absent in (False, True):
        with pytest.raises(InvalidName, match="folder"):
            store.put("a", b"2", if_absent=if_absent)
        with pytest.raises(InvalidName, match="already an object"):
            store.put("a/b/c", b"2", if_absent=if_absent)
    assert names(store) == ["a/b"]


def test_an_open_reader_keeps_its_content(store: BlobStore) -> None:
    store.put("a", b"x" * 3_000_000)
    chunks = store.open("a")
    first = next(chunks)
    store.put("a", b"y" * 10)
    assert first + b"".join(chunks) == b"x" * 3_000_000


def test_deletes_that_prune_folders_lose_no_write_beside_them(store: BlobStore, root: Path) -> None:
    start = threading.Barrier(2)

    def put_and_delete(own: str) -> None:
        start.wait(60)
        for _ in range(200):
            store.put(f"deep/er/{own}", b"1")
            assert store.get(f"deep/er/{own}") == b"1"
            store.delete(f"deep/er/{own}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put_and_delete, ["x", "y"]))
    assert list(root.iterdir()) == [root / ".baton-tmp"]


@pytest.mark.process
def test_a_directory_user_does_not_pay_for_googles_libraries(root: Path) -> None:
    code = f"import sys; from baton.storage import open_store; open_store({root.as_uri()!r}).put('a', b'1')"
    code += "; print('google.cloud' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
