"""Writes while the network to S3 or Azure fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest

from baton.storage import AlreadyExists, BlobStore, Corrupted, crc32c_of, object_store
from baton.storage.object_store import ObjectStore
from tests.contract.flaky_proxy import DROP_ANSWER, FlakyProxy
from tests.contract.objects import BIG

pytestmark = pytest.mark.process


def test_transient_answers_are_tried_again(store: ObjectStore, proxy: FlakyProxy) -> None:
    proxy.plan("PUT", 429, 503)
    assert store.put("a", b"hello", if_absent=True).crc32c == crc32c_of(b"hello")
    proxy.plan("HEAD", 429)
    proxy.plan("GET", 503, 429)
    assert store.get("a") == b"hello"
    proxy.plan("PUT", 503)
    assert store.copy("a", "b").size == 5
    for method in ("DELETE", "POST"):  # Azure deletes with a POST
        proxy.plan(method, 503)
    store.delete("b")
    assert [proxy.left(method) for method in ("PUT", "HEAD", "GET")] == [0, 0, 0]
    assert proxy.left("DELETE") + proxy.left("POST") == 1
    assert store.stat("b") is None


@pytest.mark.parametrize("if_absent", [True, False])
def test_a_lost_answer_to_our_own_success_is_success(store: ObjectStore, proxy: FlakyProxy, if_absent: bool) -> None:
    proxy.plan("PUT", DROP_ANSWER)
    info = store.put("manifest.json", b"{}", if_absent=if_absent, content_type="application/json")
    assert (info.size, info.crc32c, info.content_type) == (2, crc32c_of(b"{}"), "application/json")
    assert proxy.seen.count("PUT") == 2
    assert store.get("manifest.json") == b"{}"


def test_a_lost_answer_to_anothers_success_is_not_ours(
    store: ObjectStore, proxy: FlakyProxy, direct: BlobStore
) -> None:
    """Another writer wrote the same bytes first, and our request failed: the store must not report our write."""

    def other_wins(method: str) -> None:
        proxy.before = lambda _: None
        direct.put("manifest.json", b"{}", if_absent=True)

    proxy.before = other_wins
    proxy.plan("PUT", 503)
    with pytest.raises(AlreadyExists):
        store.put("manifest.json", b"{}", if_absent=True)


def test_a_conflict_that_passes_is_not_another_writers_success(store: ObjectStore, proxy: FlakyProxy) -> None:
    """Amazon answers 409 to a conditional write that meets another request for the same name."""
    proxy.plan("PUT", 409)
    assert store.put("a", b"hello", if_absent=True).size == 5
    assert proxy.left("PUT") == 0


def test_an_upload_in_parts_survives_lost_requests_and_answers(store: ObjectStore, proxy: FlakyProxy) -> None:
    proxy.plan("POST", 503)
    proxy.plan("PUT", 503, 0, DROP_ANSWER)
    assert store.put("a", BIG).crc32c == crc32c_of(BIG)
    assert proxy.left("PUT") == 0
    # The answer to the last request, which makes the object of the parts.
    proxy.plan("POST", 0, DROP_ANSWER)
    if store.url.startswith("az:"):
        proxy.plan("PUT", 0, 0, 0, DROP_ANSWER)
    assert store.put("b", BIG).crc32c == crc32c_of(BIG)
    assert store.get("a") == store.get("b") == BIG


@pytest.mark.parametrize("size", [6, len(BIG)], ids=["small", "big"])
def test_a_file_that_changes_during_the_upload_is_an_error_and_goes(
    store: ObjectStore, direct: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"b" * size)
    measure = object_store.Upload.__init__

    def changing(*args: Any, **options: Any) -> None:
        measure(*args, **options)
        source.write_bytes(b"a" * size)

    monkeypatch.setattr(object_store.Upload, "__init__", changing)
    with pytest.raises(Corrupted, match="store it again"):
        store.put("a", source)
    assert direct.stat("a") is None


def test_what_one_request_cannot_copy_is_copied_in_parts(store: ObjectStore) -> None:
    store._vendor = replace(store._vendor, most_copied=1000)
    store.put("a", BIG, content_type="text/csv")
    info = store.copy("a", "b")
    assert (info.name, info.size, info.crc32c, info.content_type) == ("b", len(BIG), crc32c_of(BIG), "text/csv")
    assert store.get("b") == BIG


def test_an_object_of_another_program_has_no_checksum(store: ObjectStore) -> None:
    obstore.put(store._client, store._path("a"), b"hello")
    found = store.stat("a")
    assert found is not None
    assert found.crc32c is None
    assert store.get("a") == b"hello"
