"""What only the Google Cloud Storage adapter can get wrong: a network that fails, in front of a real emulator."""

import base64
import itertools
import json
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2 import service_account

from baton.storage import (
    AlreadyExists,
    BlobStore,
    Corrupted,
    NotFound,
    ObjectChanged,
    StoreConfigError,
    StoreError,
    StoreUnavailable,
    crc32c_of,
    gcs,
    open_store,
)
from baton.storage.gcs import GcsStore
from tests.contract.flaky_proxy import CUT_BODY, DROP_ANSWER, FLIP_BYTE, FlakyProxy, flaky_proxy
from tests.contract.test_blob_store import BIG
from tests.support.gcs import GcsEmulator, free_port

PREFIX = "flaky"


@pytest.fixture
def proxy(emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    with flaky_proxy(emulator.host) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.host)
        yield running


@pytest.fixture
def store(proxy: FlakyProxy, emulator: GcsEmulator, request: pytest.FixtureRequest) -> GcsStore:
    return GcsStore(emulator.bucket, f"{PREFIX}/{request.node.name}"[:100], deadline=10)


@pytest.fixture
def direct(store: GcsStore, emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """Another user of the same bucket, whose network is fine."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.host.removeprefix("http://"))
    return open_store(store.url)


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
    """The same bytes by another writer, who was first while our request came to nothing: we did not win."""

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
    monkeypatch.setattr("baton.storage.gcs_upload._CHUNK_BYTES", 4 * 2**20)
    proxy.plan("POST", 503)
    proxy.plan("PUT", 503, 0, 503)
    assert store.put("a", BIG).crc32c == crc32c_of(BIG)
    assert proxy.left("PUT") == proxy.left("POST") == 0
    assert store.get("a") == BIG


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


def test_an_object_that_the_server_stored_differently_is_an_error_and_goes(
    store: GcsStore, direct: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file changes between its checksum and its upload; the emulator, unlike Google, takes it."""
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
    """Replace the object between the look at it and the read of it, so often; the numbers written so far."""
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


@pytest.mark.parametrize("content", [b"hello", BIG], ids=["small", "big"])
def test_a_store_that_stays_down_is_unavailable(
    proxy: FlakyProxy, emulator: GcsEmulator, tmp_path: Path, content: bytes
) -> None:
    store = GcsStore(emulator.bucket, PREFIX, deadline=0.3)
    for method in ("GET", "POST", "DELETE"):
        proxy.plan(method, *[503] * 1000)
    assert_unavailable(store, tmp_path, content)


def test_nobody_there_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    assert_unavailable(GcsStore("bucket", deadline=0.3), tmp_path, b"hello")


def test_a_server_that_never_answers_is_unavailable(proxy: FlakyProxy, emulator: GcsEmulator, tmp_path: Path) -> None:
    released = threading.Event()
    proxy.before = lambda method: bool(released.wait()) and None
    try:
        assert_unavailable(GcsStore(emulator.bucket, PREFIX, deadline=0.2), tmp_path, b"hello")
    finally:
        released.set()


def assert_unavailable(store: BlobStore, tmp_path: Path, content: bytes) -> None:
    for call in (
        store.check,
        lambda: store.put("a", content),
        lambda: store.get("a"),
        lambda: store.download("a", tmp_path / "x"),
        lambda: store.stat("a"),
        lambda: list(store.list()),
        lambda: store.delete("a"),
        lambda: store.copy("a", "b"),
    ):
        with pytest.raises(StoreUnavailable, match="gs://"):
            call()


def test_a_bucket_that_is_missing_is_a_config_error(emulator: GcsEmulator, proxy: FlakyProxy) -> None:
    store = open_store("gs://no-such-bucket/x")
    for call in (store.check, lambda: list(store.list())):
        with pytest.raises(StoreConfigError, match="`gcloud storage buckets create gs://no-such-bucket`"):
            call()


@pytest.mark.parametrize("status", [401, 403])
def test_no_permission_is_a_config_error_at_once(store: GcsStore, proxy: FlakyProxy, status: int) -> None:
    proxy.plan("GET", *[status] * 9)
    proxy.plan("POST", *[status] * 9)
    for call in (store.check, lambda: store.stat("a"), lambda: store.put("a", b"1"), lambda: list(store.list())):
        with pytest.raises(StoreConfigError, match=r"gcloud auth application-default login"):
            call()
    assert proxy.left("POST") == 8
    assert proxy.left("GET") == 6


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


def signing_client(monkeypatch: pytest.MonkeyPatch) -> storage.Client:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    info = {"client_email": "baton@example.test", "token_uri": "https://example.test/token", "private_key": pem}
    credentials = service_account.Credentials.from_service_account_info(info)
    return storage.Client(project="p", credentials=credentials)


def test_credentials_that_can_sign_give_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    store = GcsStore("bucket", "pre/fix", client=signing_client(monkeypatch))
    url = store.signed_url("jobs/1/best é.keras", timedelta(hours=1))
    assert url is not None
    assert url.startswith("https://storage.googleapis.com/bucket/pre/fix/jobs/1/best%20%C3%A9.keras?")
    assert "X-Goog-Signature=" in url
    assert "X-Goog-Expires=3600" in url


def test_credentials_that_cannot_sign_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    client = storage.Client.create_anonymous_client()
    assert GcsStore("bucket", client=client).signed_url("a", timedelta(hours=1)) is None


def test_without_credentials_the_message_says_how_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")
    with pytest.raises(StoreConfigError, match="gcloud auth application-default login"):
        open_store("gs://bucket")


SIZES = ("size=0", "objectSize=0", "totalBytesRewritten=0")
OPTIONAL = (
    "updated", "timeCreated", "contentType", "crc32c", "md5Hash", "generation", "metageneration", "metadata", "etag",
    "storageClass", "id", "selfLink", "mediaLink", "kind", "bucket",
)  # fmt: skip


@pytest.mark.parametrize("left_out", [SIZES, *((field,) for field in OPTIONAL), (*SIZES, *OPTIONAL)], ids=str)
def test_a_field_that_a_server_leaves_out_of_its_answers_is_not_missed(
    store: GcsStore, proxy: FlakyProxy, left_out: tuple[str, ...], tmp_path: Path
) -> None:
    """As JSON leaves out what is 0, and as other servers know less: Google's own test bench has no size when empty."""
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


def test_a_check_asks_to_write_and_leaves_nothing(store: GcsStore, proxy: FlakyProxy) -> None:
    store.check()
    assert proxy.seen == ["GET", "POST"]
    assert list(store.list()) == []
    proxy.plan("POST", 403)
    with pytest.raises(StoreConfigError, match="No permission"):
        store.check()
