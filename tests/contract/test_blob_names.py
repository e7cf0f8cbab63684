"""Names and prefixes, the same in every blob store."""

from datetime import timedelta
from pathlib import Path

import pytest

from baton.storage import BlobStore, InvalidName, NotFound
from tests.contract.objects import names

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
        lambda: store.signed_put(name, timedelta(hours=1), if_absent=True, content_type="text/csv", size=1),
    ]
    for call in calls:
        with pytest.raises(InvalidName):
            call()
    assert names(store) == ["ok"]


@pytest.mark.parametrize("prefix", ["/a", "../a", "a//b", "../", "a\\", "a\n", ".baton-tmp/"])
def test_bad_prefixes_are_refused_at_the_call(store: BlobStore, prefix: str) -> None:
    with pytest.raises(InvalidName):
        store.list(prefix)
