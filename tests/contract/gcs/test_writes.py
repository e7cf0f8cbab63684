"""Writes while the network to Google Cloud Storage fails."""

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from baton.storage import AlreadyExists, BlobStore, Corrupted, crc32c_of, gcs
from baton.storage.gcs import GcsStore
from tests.contract.flaky_proxy import DROP_ANSWER, FlakyProxy
from tests.contract.objects import BIG
from tests.support.gcs import GcsEmulator


def metadata(emulator: GcsEmulator, store: BlobStore, name: str) -> dict[str, Any]:
    path = f"{store.url.removeprefix(f'gs://{emulator.bucket}/')}/{name}".replace("/", "%2F")
    path = path.replace("[", "%5B").replace("]", "%5D")
    with urllib.request.urlopen(f"{emulator.host}/storage/v1/b/{emulator.bucket}/o/{path}", timeout=60) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_transient_answer_is_tried_again(store: GcsStore, proxy: FlakyProxy, status: int) -> None:
    proxy.plan("POST", status)
    proxy.plan("GET", status, 0, status)
    assert store.put("a", b"hello", if_absent=True).crc32c == crc32c_of(b"hello")
    assert store.get("a") == b"hello"
    assert proxy.left("POST") == proxy.left("GET") == 0


@pytest.mark.parametrize("if_absent", [True, False])
def test_a_lost_answer_to_our_own_success_is_success(store: GcsStore, proxy: FlakyProxy, if_absent: bool) -> None:
    proxy.plan("POST", DROP_ANSWER)
    info = store.put("manifest.json", b"{}", if_absent=if_absent, content_type="application/json")
    assert (info.name, info.size, info.crc32c, info.content_type) == (
        "manifest.json",
        2,
        crc32c_of(b"{}"),
        "application/json",
    )
    assert proxy.seen.count("POST") == 2
    assert store.get("manifest.json") == b"{}"


def test_a_lost_answer_to_anothers_success_is_not_ours(store: GcsStore, proxy: FlakyProxy, direct: BlobStore) -> None:
    """Another writer wrote the same bytes first, and our request failed: the store must not report our write as
    successful.
    """

    def other_wins(method: str) -> None:
        proxy.before = lambda _: None
        direct.put("manifest.json", b"{}", if_absent=True)

    proxy.before = other_wins
    proxy.plan("POST", 503)
    with pytest.raises(AlreadyExists):
        store.put("manifest.json", b"{}", if_absent=True)


def test_every_put_has_a_token_of_its_own(store: GcsStore, emulator: GcsEmulator) -> None:
    tokens = set()
    for _ in range(2):
        store.put("a", b"same")
        tokens.add(metadata(emulator, store, "a")["metadata"]["baton-put"])
    assert len(tokens) == 2


def test_a_resumable_upload_survives_lost_requests(
    store: GcsStore, proxy: FlakyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton.storage.gcs_stream.FIRST_BYTES", 4 * 2**20)
    monkeypatch.setattr("baton.storage.gcs_stream.MOST_BYTES", 4 * 2**20)
    proxy.plan("POST", 503)
    proxy.plan("PUT", 503, 0, 503)
    assert store.put("a", BIG).crc32c == crc32c_of(BIG)
    assert proxy.left("PUT") == proxy.left("POST") == 0
    assert store.get("a") == BIG


def test_an_object_that_the_server_stored_differently_is_an_error_and_goes(
    store: GcsStore, direct: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file changes between the computation of its checksum and its upload.

    The emulator accepts it, unlike Google.
    """
    source = tmp_path / "source"
    source.write_bytes(b"before")
    measure = gcs.Upload.__init__

    def changing(*args: Any, **options: Any) -> None:
        measure(*args, **options)
        source.write_bytes(b"after!")

    monkeypatch.setattr(gcs.Upload, "__init__", changing)
    with pytest.raises(Corrupted, match="store it again"):
        store.put("a", source)
    assert direct.stat("a") is None


def test_the_server_is_told_the_checksum(store: GcsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    writable = storage.Blob._get_writable_metadata
    monkeypatch.setattr(
        storage.Blob, "_get_writable_metadata", lambda self: sent.append(writable(self)) or writable(self)
    )
    for content in (b"hello", BIG):
        store.put("a", content)
        assert base64.b64decode(sent[-1]["crc32c"]).hex() == crc32c_of(content)
