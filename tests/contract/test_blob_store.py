"""What every blob store promises, whatever it stands on."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from baton.storage import (
    AlreadyExists,
    BlobStore,
    InvalidName,
    LocalFileError,
    NotFound,
    StoreError,
    crc32c_of,
    open_store,
)

BIG = bytes(range(256)) * (12 * 2**20 // 256)  # over 8 MiB: a resumable upload on GCS
BAD_NAMES = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/./b",
    "../a",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\ud800b",
    "é" * 451,
    "a/" * 449 + "abc",
    "x" * 256,
    ".baton-tmp/a",
]


def names(store: BlobStore, prefix: str = "") -> list[str]:
    return [info.name for info in store.list(prefix)]


def test_url_opens_the_same_store(store: BlobStore, store_url: str) -> None:
    store.put("a", b"1")
    assert store.url == store_url
    assert open_store(store.url).get("a") == b"1"


def test_check_passes_on_an_empty_store(store: BlobStore) -> None:
    store.check()
    assert names(store) == []


@pytest.mark.parametrize("content", [b"", b"hello", BIG], ids=["empty", "small", "big"])
def test_what_is_put_is_read_back(store: BlobStore, content: bytes) -> None:
    before = datetime.now(UTC)
    put = store.put("jobs/1/blob", content)
    assert (put.name, put.size, put.crc32c) == ("jobs/1/blob", len(content), crc32c_of(content))
    assert put.updated.tzinfo is UTC
    assert abs(put.updated - before) < timedelta(minutes=1)
    assert store.get("jobs/1/blob") == content
    assert b"".join(store.open("jobs/1/blob")) == content


def test_stat_and_list_tell_what_put_told(store: BlobStore) -> None:
    before = datetime.now(UTC)
    put = store.put("history.csv", b"a,b\n", content_type="text/csv")
    after, second = datetime.now(UTC), timedelta(seconds=1)
    for found in (store.stat("history.csv"), *store.list()):
        assert found is not None
        assert (found.name, found.size, found.content_type) == ("history.csv", 4, "text/csv")
        assert found.crc32c in (put.crc32c, None)
        for updated in (found.updated, put.updated):  # a store may keep whole seconds
            assert before - second < updated < after + second


def test_views_and_files_can_be_put(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(BIG)
    assert store.put("file", tmp_path / "source").crc32c == crc32c_of(BIG)
    assert store.put("view", memoryview(BIG)[1:1000]).size == 999
    assert store.get("file") == BIG
    assert store.get("view") == BIG[1:1000]


def test_a_missing_source_file_is_the_callers_error(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="gone"):
        store.put("a", tmp_path / "gone")
    assert store.stat("a") is None


def test_put_replaces(store: BlobStore) -> None:
    store.put("a", b"old and long")
    assert store.put("a", b"new").size == 3
    assert store.get("a") == b"new"


@pytest.mark.parametrize("content", [b"second", BIG], ids=["small", "big"])
def test_if_absent_leaves_what_is_there(store: BlobStore, content: bytes) -> None:
    store.put("a", b"first", if_absent=True)
    with pytest.raises(AlreadyExists, match="'a'"):
        store.put("a", content, if_absent=True)
    assert store.get("a") == b"first"
    assert names(store) == ["a"]


def test_a_deleted_name_is_absent_again(store: BlobStore) -> None:
    store.put("a", b"first", if_absent=True)
    store.delete("a")
    store.put("a", b"second", if_absent=True)
    assert store.get("a") == b"second"


def test_one_of_many_racing_threads_wins(store: BlobStore) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> int | None:
        start.wait(60)
        try:
            store.put("run/manifest.json", f"writer {number}".encode(), if_absent=True)
        except AlreadyExists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(write, range(8)) if number is not None]
    assert len(won) == 1
    assert store.get("run/manifest.json") == f"writer {won[0]}".encode()


def test_one_of_many_racing_processes_wins(store: BlobStore) -> None:
    command = [sys.executable, "-m", "tests.contract.racing_writer", store.url, "run/manifest.json"]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen([*command, str(n)], stdin=pipe, stdout=pipe, text=True) for n in range(3)]
    assert [writer.stdout and writer.stdout.readline() for writer in writers] == ["ready\n"] * 3
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    answers = [writer.communicate(timeout=60)[0].strip() for writer in writers]
    assert sorted(answers) == ["lost", "lost", "won"]
    assert store.get("run/manifest.json") == str(answers.index("won")).encode()


def test_readers_see_old_or_new_and_never_half(store: BlobStore) -> None:
    contents = [bytes([value]) * 300_000 for value in range(12)]
    store.put("a", contents[0])
    done = threading.Event()

    def write() -> None:
        for content in contents:
            store.put("a", content)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set() and not writing.done():
            assert store.get("a") in contents
        writing.result()
    assert store.get("a") == contents[-1]


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 0), (3, 7), (3, None), (0, 10), (5, 99), (10, None), (50, 60), (9, 10)]
)
def test_ranges_are_cut_like_slices(store: BlobStore, start: int, end: int | None) -> None:
    store.put("a", b"0123456789")
    assert b"".join(store.open("a", start, end)) == b"0123456789"[start:end]


def test_a_range_across_the_chunks_of_a_big_object(store: BlobStore) -> None:
    store.put("a", BIG)
    chunks = list(store.open("a", 7, len(BIG) - 7))
    assert len(chunks) > 1
    assert b"".join(chunks) == BIG[7:-7]


@pytest.mark.parametrize(("start", "end"), [(-1, None), (3, 2), (0, -1)])
def test_a_range_that_is_none_is_refused_at_the_call(store: BlobStore, start: int, end: int | None) -> None:
    store.put("a", b"0123456789")
    with pytest.raises(ValueError, match="not a range"):
        store.open("a", start, end)


def test_download_writes_the_file_and_tells_its_checksum(store: BlobStore, tmp_path: Path) -> None:
    store.put("a", BIG)
    (tmp_path / "target").write_bytes(b"old")
    info = store.download("a", tmp_path / "target")
    assert (info.name, info.size, info.crc32c) == ("a", len(BIG), crc32c_of(BIG))
    assert crc32c_of(tmp_path / "target") == info.crc32c


def test_a_failed_download_leaves_the_file_as_it_was(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "target"
    target.write_bytes(b"old")
    with pytest.raises(NotFound):
        store.download("a", target)
    store.put("a", b"new")
    with pytest.raises(LocalFileError, match="no-folder"):
        store.download("a", tmp_path / "no-folder" / "target")
    assert target.read_bytes() == b"old"
    assert list((tmp_path / "out").iterdir()) == [target]


def test_what_is_missing_is_not_found(store: BlobStore, tmp_path: Path) -> None:
    assert store.stat("a/b") is None
    for read in (
        store.get,
        store.open,
        lambda name: store.copy(name, "c"),
        lambda n: store.download(n, tmp_path / "x"),
    ):
        with pytest.raises(NotFound, match="'a/b'") as caught:
            read("a/b")
        assert caught.value.code == "not_found"
    assert names(store) == []


def test_below_an_object_there_is_nothing(store: BlobStore) -> None:
    store.put("a", b"1")
    assert store.stat("a/b") is None
    assert names(store, "a/") == []
    store.delete("a/b")
    with pytest.raises(NotFound):
        store.get("a/b")


def test_a_folder_is_no_object(store: BlobStore) -> None:
    store.put("a/b", b"1")
    assert store.stat("a") is None
    store.delete("a")
    with pytest.raises(NotFound):
        store.get("a")
    assert names(store) == ["a/b"]


def test_delete_is_idempotent(store: BlobStore) -> None:
    store.put("a/b/c", b"1")
    store.put("a/d", b"2")
    for _ in range(2):
        store.delete("a/b/c")
    assert names(store) == ["a/d"]
    store.put("a/b", b"3")
    assert store.get("a/b") == b"3"


@pytest.mark.parametrize("content", [b"", b"hello", BIG], ids=["empty", "small", "big"])
def test_copy_replaces_the_target(store: BlobStore, content: bytes) -> None:
    store.put("checkpoints/7/best.csv", content, content_type="text/csv")
    store.put("best.csv", b"before", content_type="text/csv")
    info = store.copy("checkpoints/7/best.csv", "best.csv")
    assert (info.name, info.size, info.crc32c) == ("best.csv", len(content), crc32c_of(content))
    assert info.content_type == "text/csv"
    store.delete("checkpoints/7/best.csv")
    assert store.get("best.csv") == content


def test_copy_onto_itself_changes_nothing(store: BlobStore) -> None:
    store.put("a", b"hello")
    store.copy("a", "a")
    assert store.get("a") == b"hello"


def test_list_is_sorted_and_a_prefix_is_no_folder(store: BlobStore) -> None:
    stored = ["a/b", "a/bc", "a/b-1", "a/c/d", "a-b", "ab", "B", "z/é", "z/e", "z/日本"]
    for name in stored:
        store.put(name, b"1")
    assert names(store) == sorted(stored)
    assert names(store, "a/b") == ["a/b", "a/b-1", "a/bc"]
    assert names(store, "a/") == ["a/b", "a/b-1", "a/bc", "a/c/d"]
    assert names(store, "a/c") == ["a/c/d"]
    assert names(store, "a/c/d") == ["a/c/d"]
    assert names(store, "z/é") == ["z/é"]
    assert names(store, "q/") == names(store, "..") == names(store, "x" * 300) == []


def test_list_tells_apart_a_folder_and_its_longer_neighbour(store: BlobStore) -> None:
    for name in ("jobs/1/x", "jobs/10/x", "jobs/1-a/x"):
        store.put(name, b"1")
    assert names(store, "jobs/1/") == ["jobs/1/x"]
    assert names(store, "jobs/1") == ["jobs/1-a/x", "jobs/1/x", "jobs/10/x"]


@pytest.mark.parametrize("name", ["naïve/日本語/🙂.bin", "a b+c%20d?e#f&g=h", "-rf", "~", "a'b\"c", ".hidden/x", "a:b"])
def test_unusual_names_work_everywhere(store: BlobStore, name: str) -> None:
    store.put(name, b"hello", if_absent=True)
    assert names(store) == names(store, name) == [name]
    assert store.get(name) == b"hello"
    assert store.copy(name, f"{name}.copy").size == 5
    store.delete(name)
    assert names(store) == [f"{name}.copy"]


def test_the_longest_name_works(store: BlobStore) -> None:
    name = "/".join(["x" * 224] * 4)
    store.put(name, b"1")
    assert names(store) == [name]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_bad_names_are_refused_by_every_method(store: BlobStore, name: str, tmp_path: Path) -> None:
    store.put("ok", b"1")
    calls = [
        lambda: store.put(name, b"1"),
        lambda: store.get(name),
        lambda: store.open(name),
        lambda: store.download(name, tmp_path / "x"),
        lambda: store.stat(name),
        lambda: store.delete(name),
        lambda: store.copy(name, "b"),
        lambda: store.copy("ok", name),
        lambda: store.signed_url(name, timedelta(hours=1)),
    ]
    for call in calls:
        with pytest.raises(InvalidName):
            call()
    assert names(store) == ["ok"]


@pytest.mark.parametrize("prefix", ["/a", "../a", "a//b", "../", "a\\", "a\n", ".baton-tmp/"])
def test_bad_prefixes_are_refused_at_the_call(store: BlobStore, prefix: str) -> None:
    with pytest.raises(InvalidName):
        store.list(prefix)


def test_no_signed_url_without_somebody_to_honour_it(store: BlobStore) -> None:
    assert store.signed_url("a", timedelta(hours=1)) is None
    for expires in (timedelta(0), timedelta(days=8)):
        with pytest.raises(ValueError, match="signed URL"):
            store.signed_url("a", expires)


def test_every_error_has_its_own_code() -> None:
    kinds, found = [StoreError], []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found.append(kind.code)
    assert len(set(found)) == len(found)
