"""Reads while the network to Google Cloud Storage fails, and while the object changes."""

import itertools
from pathlib import Path

import pytest

from baton.storage import BlobStore, Corrupted, NotFound, ObjectChanged, crc32c_of
from baton.storage.gcs import GcsStore
from tests.contract.flaky_proxy import CUT_BODY, FLIP_BYTE, FlakyProxy
from tests.contract.objects import BIG


def test_a_read_that_breaks_off_goes_on(store: GcsStore, proxy: FlakyProxy) -> None:
    store.put("a", BIG)
    proxy.plan("GET", 0, CUT_BODY, 0, 503)
    assert store.get("a") == BIG
    assert proxy.left("GET") == 0


def test_bytes_that_changed_on_the_way_are_noticed(store: GcsStore, proxy: FlakyProxy, tmp_path: Path) -> None:
    store.put("a", b"hello")
    for read in (lambda: store.get("a"), lambda: list(store.open("a")), lambda: store.download("a", tmp_path / "x")):
        proxy.plan("GET", 0, FLIP_BYTE)
        with pytest.raises(Corrupted, match="checksum"):
            read()
    assert list(tmp_path.iterdir()) == []


def test_get_and_download_start_again_when_the_object_is_replaced(
    store: GcsStore, proxy: FlakyProxy, direct: BlobStore, tmp_path: Path
) -> None:
    store.put("latest.keras", b"old")
    for number, read in enumerate((lambda: store.get("latest.keras"), lambda: downloaded(store, tmp_path / "x"))):
        replace_before_second_get(proxy, direct, f"new {number}".encode())
        assert read() == f"new {number}".encode()


def downloaded(store: BlobStore, path: Path) -> bytes:
    info = store.download("latest.keras", path)
    assert info.crc32c == crc32c_of(path)
    return path.read_bytes()


def replace_before_second_get(proxy: FlakyProxy, direct: BlobStore, content: bytes | None) -> None:
    gets: list[str] = []

    def before(method: str) -> None:
        gets.append(method)
        if len(gets) == 2:
            direct.put("latest.keras", content) if content else direct.delete("latest.keras")

    proxy.before = before


def test_a_reader_outlasts_a_writer_that_does_not_rest(store: GcsStore, proxy: FlakyProxy, direct: BlobStore) -> None:
    store.put("latest.keras", b"0")
    replaced = replace_before_each_read(proxy, direct, times=12)
    assert store.get("latest.keras") == b"12"
    assert len(replaced) == 12


def test_a_reader_of_an_object_that_never_rests_gives_up_in_time(
    store: GcsStore, proxy: FlakyProxy, direct: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_deadline", 0.3)
    store.put("latest.keras", b"0")
    replaced = replace_before_each_read(proxy, direct, times=10_000)
    with pytest.raises(ObjectChanged):
        store.get("latest.keras")
    assert 5 <= len(replaced) < 10_000


def replace_before_each_read(proxy: FlakyProxy, direct: BlobStore, times: int) -> list[int]:
    """Overwrite the object between its metadata request and its download, this many times.

    Return the numbers written so far.
    """
    gets, written = itertools.count(1), list[int]()

    def before(method: str) -> None:
        if method == "GET" and next(gets) % 2 == 0 and len(written) < times:
            written.append(len(written) + 1)
            direct.put("latest.keras", str(len(written)).encode())

    proxy.before = before
    return written


def test_a_stream_whose_object_is_replaced_says_so(store: GcsStore, direct: BlobStore) -> None:
    store.put("latest.keras", BIG)
    chunks = store.open("latest.keras")
    next(chunks)
    direct.put("latest.keras", b"new")
    with pytest.raises(ObjectChanged):
        list(chunks)


def test_an_object_deleted_while_it_is_read_is_not_found(store: GcsStore, proxy: FlakyProxy, direct: BlobStore) -> None:
    store.put("latest.keras", b"old")
    replace_before_second_get(proxy, direct, None)
    with pytest.raises(NotFound):
        store.get("latest.keras")
