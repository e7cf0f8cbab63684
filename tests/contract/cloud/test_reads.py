"""Reads while the network to S3 or Azure fails, and while the object changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import obstore
import pytest

from baton.storage import BlobStore, Corrupted, ObjectChanged, StoreConfigError, crc32c_of
from baton.storage.object_store import ObjectStore
from tests.contract.flaky_proxy import CUT_BODY, DROP_ANSWER, FLIP_BYTE, FlakyProxy
from tests.contract.objects import BIG, names

pytestmark = pytest.mark.process
HOUR = timedelta(hours=1)


def test_a_read_that_breaks_off_goes_on(store: ObjectStore, proxy: FlakyProxy) -> None:
    store.put("a", BIG)
    proxy.plan("GET", CUT_BODY, 0, DROP_ANSWER)
    assert store.get("a") == BIG
    assert proxy.left("GET") == 0


def test_a_list_that_breaks_off_goes_on(store: ObjectStore, proxy: FlakyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton.storage.object_listing._PAGE", 2)
    for number in range(5):
        store.put(f"a/{number}", b"1")
    listed = store.list("a/")
    first = next(listed)
    proxy.plan("GET", CUT_BODY, 429, CUT_BODY)
    assert [first.name, *(info.name for info in listed)] == [f"a/{number}" for number in range(5)]
    assert names(store, "a/") == [f"a/{number}" for number in range(5)]
    assert proxy.left("GET") == 0


def test_bytes_that_changed_on_the_way_are_noticed(store: ObjectStore, proxy: FlakyProxy, tmp_path: Path) -> None:
    store.put("a", b"hello")
    for read in (lambda: store.get("a"), lambda: list(store.open("a")), lambda: store.download("a", tmp_path / "x")):
        proxy.plan("GET", FLIP_BYTE)
        with pytest.raises(Corrupted, match="checksum"):
            read()
    assert list(tmp_path.iterdir()) == []


def test_get_and_download_start_again_when_the_object_is_replaced(
    store: ObjectStore, proxy: FlakyProxy, direct: BlobStore, tmp_path: Path
) -> None:
    store.put("latest.keras", b"old")
    before_the_read(proxy, lambda: direct.put("latest.keras", b"new"))
    assert store.get("latest.keras") == b"new"
    before_the_read(proxy, lambda: direct.put("latest.keras", b"newer"))
    assert store.download("latest.keras", tmp_path / "x").crc32c == crc32c_of(b"newer")
    before_the_read(proxy, lambda: direct.delete("latest.keras"))
    with pytest.raises(ObjectChanged):
        list(store.open("latest.keras"))


def before_the_read(proxy: FlakyProxy, act: Callable[[], object]) -> None:
    """Act between the look at the object and the read of it, once."""

    def before(method: str) -> None:
        if method == "GET":
            proxy.before = lambda _: None
            act()

    proxy.before = before


def test_a_stream_whose_object_is_replaced_says_so(store: ObjectStore, direct: BlobStore) -> None:
    store.put("latest.keras", BIG)
    chunks = store.open("latest.keras")
    next(chunks)
    direct.put("latest.keras", b"new")
    with pytest.raises(ObjectChanged):
        list(chunks)


def test_foreign_objects_are_passed_over_or_named(store: ObjectStore) -> None:
    store.put("a", b"1")
    client, place = store._client, store._path("a").removesuffix("/a")
    obstore.put(client, f"{place}-neighbour/x", b"1")
    if store.url.startswith("s3:"):
        obstore.put(client, f"{place}/back\\slash", b"1")  # Azure replaces the backslash by a slash
    assert names(store) == ["a"]
    if store.url.startswith("s3:"):  # the library itself cannot make such a name
        url = obstore.sign(client, "PUT", f"{place}/empty", HOUR).replace("/empty?", "/empty//part?")
        assert httpx.put(url, content=b"1", headers={"Content-Type": "text/plain"}).is_success
        with pytest.raises(StoreConfigError, match=r"cannot be listed.*empty//part.*Delete it"):
            names(store)
