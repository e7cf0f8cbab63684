"""Google Cloud Storage is unavailable, or the bucket cannot be used."""

import threading
from pathlib import Path

import pytest

from baton.storage import BlobStore, StoreConfigError, StoreUnavailable, open_store
from baton.storage.gcs import GcsStore
from tests.contract.flaky_proxy import FlakyProxy
from tests.contract.objects import BIG
from tests.support.gcs import GcsEmulator, free_port


@pytest.mark.parametrize("content", [b"hello", BIG], ids=["small", "big"])
def test_a_store_that_stays_down_is_unavailable(
    proxy: FlakyProxy, emulator: GcsEmulator, tmp_path: Path, content: bytes
) -> None:
    store = GcsStore(emulator.bucket, "flaky", deadline=0.3)
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
        assert_unavailable(GcsStore(emulator.bucket, "flaky", deadline=0.2), tmp_path, b"hello")
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


def test_a_check_asks_to_write_and_leaves_nothing(store: GcsStore, proxy: FlakyProxy) -> None:
    store.check()
    assert proxy.seen == ["GET", "POST"]
    assert list(store.list()) == []
    proxy.plan("POST", 403)
    with pytest.raises(StoreConfigError, match="No permission"):
        store.check()
