"""The guarantees of every blob store for reads, writes, copies and deletes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from baton.storage import AlreadyExists, BlobStore, LocalFileError, NotFound, StoreError, crc32c_of, open_store
from baton.storage.trial import missing_abilities
from tests.contract.objects import BIG, names


def test_url_opens_the_same_store(store: BlobStore, store_url: str) -> None:
    store.put("a", b"1")
    assert store.url == store_url
    assert open_store(store.url).get("a") == b"1"


def test_check_passes_on_an_empty_store(store: BlobStore) -> None:
    store.check()
    assert names(store) == []


def test_nothing_is_missing(store: BlobStore) -> None:
    assert missing_abilities(store) == []
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
        for updated in (found.updated, put.updated):  # a store may keep whole seconds only
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


HOUR = timedelta(hours=1)
UNSIGNED = ("file:", "gs:")
"""Stores that sign nothing in these tests: nobody would honour the signature of a directory or of Google's emulator."""


def test_a_signed_upload_stores_and_a_signed_url_reads(store: BlobStore) -> None:
    upload = store.signed_put("a/b", HOUR, if_absent=True, content_type="text/csv", size=5)
    url = store.signed_url("a/b", HOUR)
    if store.url.startswith(UNSIGNED):
        assert (upload, url) == (None, None)
        return
    assert upload is not None
    assert url is not None
    sent = [httpx.put(upload.url, content=content, headers=dict(upload.headers)) for content in (b"hello", b"again")]
    assert sent[0].is_success, sent[0].text
    assert sent[1].status_code in (409, 412)
    found = store.stat("a/b")
    assert found is not None
    assert (found.size, found.content_type, found.crc32c) == (5, "text/csv", None)
    assert httpx.get(url).content == store.get("a/b") == b"hello"


def test_what_cannot_be_signed_is_refused(store: BlobStore) -> None:
    for expires in (timedelta(0), timedelta(days=8)):
        with pytest.raises(ValueError, match="signed URL"):
            store.signed_url("a", expires)
        with pytest.raises(ValueError, match="signed URL"):
            store.signed_put("a", expires, if_absent=True, content_type="text/csv", size=5)
    with pytest.raises(ValueError, match="0 bytes or more"):
        store.signed_put("a", HOUR, if_absent=True, content_type="text/csv", size=-1)


def test_every_error_has_its_own_code() -> None:
    kinds, found = [StoreError], []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found.append(kind.code)
    assert len(set(found)) == len(found)
