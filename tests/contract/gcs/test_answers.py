"""Responses of a server: pages, foreign objects, missing fields and invalid values."""

from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from baton.storage import StoreError, crc32c_of
from baton.storage.gcs import GcsStore
from tests.contract.flaky_proxy import FlakyProxy
from tests.support.gcs import GcsEmulator


def test_an_answer_that_makes_no_sense_is_a_store_error(store: GcsStore, proxy: FlakyProxy) -> None:
    proxy.plan("POST", 400)
    with pytest.raises(StoreError, match="400"):
        store.put("a", b"1")


def test_foreign_objects_are_passed_over(store: GcsStore, emulator: GcsEmulator) -> None:
    bucket = storage.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": emulator.host}
    ).bucket(emulator.bucket)
    place = store.url.removeprefix(f"gs://{emulator.bucket}/")
    for name in (f"{place}/", f"{place}/folder/", f"{place}/back\\slash", f"{place}-neighbour/x"):
        bucket.blob(name).upload_from_string(b"1")
    store.put("a", b"1")
    assert [info.name for info in store.list()] == ["a"]


def test_list_goes_through_all_pages(store: GcsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = storage.Client.list_blobs
    monkeypatch.setattr(storage.Client, "list_blobs", lambda *args, **named: listed(*args, **named, page_size=2))
    for number in range(5):
        store.put(f"a/{number}", b"1")
    assert [info.name for info in store.list("a/")] == [f"a/{number}" for number in range(5)]


SIZES = ("size=0", "objectSize=0", "totalBytesRewritten=0")
OPTIONAL = (
    "updated", "timeCreated", "contentType", "crc32c", "md5Hash", "generation", "metageneration", "metadata", "etag",
    "storageClass", "id", "selfLink", "mediaLink", "kind", "bucket",
)  # fmt: skip


@pytest.mark.parametrize("left_out", [SIZES, *((field,) for field in OPTIONAL), (*SIZES, *OPTIONAL)], ids=str)
def test_a_field_that_a_server_leaves_out_of_its_answers_is_not_missed(
    store: GcsStore, proxy: FlakyProxy, left_out: tuple[str, ...], tmp_path: Path
) -> None:
    """JSON may omit zeros, and some servers have fewer fields: Google's own test server sends no size for an empty
    object.
    """
    proxy.left_out = left_out
    for content in (b"", b"hello"):
        told = (len(content), crc32c_of(content))
        for if_absent in (True, False):
            info = store.put("a", content, if_absent=if_absent)
            assert (info.size, info.crc32c) == told
        assert store.get("a") == b"".join(store.open("a")) == content
        info = store.download("a", tmp_path / "a")
        assert (info.size, info.crc32c, (tmp_path / "a").read_bytes()) == (*told, content)
        assert store.copy("a", "b").size == len(content)
        assert store.get("b") == content
        assert [(one.name, one.size) for one in store.list()] == [("a", len(content)), ("b", len(content))]
        found = store.stat("a")
        assert found is not None
        assert (found.size, found.crc32c) in (told, (len(content), None))
        assert found.content_type == "application/octet-stream"
        assert found.updated.tzinfo is not None
        store.check()
        store.delete("a")
        store.delete("b")
        assert list(store.list()) == []
