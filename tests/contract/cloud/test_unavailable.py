"""S3 or Azure is unavailable, or the bucket cannot be used."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from baton.storage import BlobStore, StoreConfigError, StoreUnavailable, open_store
from baton.storage.object_store import ObjectStore
from baton.storage.object_vendors import Vendor
from tests.contract.cloud.conftest import Server
from tests.contract.flaky_proxy import FlakyProxy
from tests.contract.objects import BIG
from tests.support.gcs import free_port

pytestmark = pytest.mark.process


@pytest.mark.parametrize("content", [b"hello", BIG], ids=["small", "big"])
def test_a_store_that_stays_down_is_unavailable(
    proxy: FlakyProxy, vendor: Vendor, tmp_path: Path, content: bytes
) -> None:
    store = ObjectStore(vendor, "baton-tests", "flaky", deadline=0.3)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        proxy.plan(method, *[503] * 1000)
    assert_unavailable(store, tmp_path, content)


def test_nobody_there_is_unavailable(
    server: Server, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in server.environ_at(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    assert_unavailable(ObjectStore(vendor, "bucket", deadline=0.3), tmp_path, b"hello")


def test_a_server_that_never_answers_is_unavailable(proxy: FlakyProxy, vendor: Vendor, tmp_path: Path) -> None:
    released = threading.Event()
    proxy.before = lambda method: bool(released.wait()) and None
    try:
        assert_unavailable(ObjectStore(vendor, "baton-tests", "flaky", deadline=0.2), tmp_path, b"hello")
    finally:
        released.set()


def assert_unavailable(store: BlobStore, tmp_path: Path, content: bytes) -> None:
    for call in (
        store.check,
        lambda: store.put("a", content),
        lambda: store.put("a", content, if_absent=True),
        lambda: store.get("a"),
        lambda: store.download("a", tmp_path / "x"),
        lambda: store.stat("a"),
        lambda: list(store.list()),
        lambda: store.delete("a"),
        lambda: store.copy("a", "b"),
    ):
        with pytest.raises(StoreUnavailable, match=r"(s3|az)://"):
            call()


def test_a_bucket_that_is_missing_is_a_config_error(proxy: FlakyProxy, vendor: Vendor) -> None:
    store = open_store(f"{vendor.scheme}://no-such-bucket/x")
    for call in (store.check, lambda: list(store.list()), lambda: store.put("a", b"1")):
        with pytest.raises(
            StoreConfigError, match=r"There is no (s3|az)://no-such-bucket; run `a.* no-such-bucket|s3:"
        ):
            call()


@pytest.mark.parametrize("status", [401, 403])
def test_no_permission_is_a_config_error_at_once(store: ObjectStore, proxy: FlakyProxy, status: int) -> None:
    for method in ("GET", "HEAD", "PUT"):
        proxy.plan(method, *[status] * 9)
    for call in (store.check, lambda: store.stat("a"), lambda: store.put("a", b"1"), lambda: list(store.list())):
        with pytest.raises(StoreConfigError, match=r"No permission .*; set A.*and (allow|assign)"):
            call()
    assert [proxy.left(method) for method in ("GET", "HEAD", "PUT")] == [7, 8, 8]


def test_a_check_asks_to_write_and_leaves_nothing(store: ObjectStore, proxy: FlakyProxy) -> None:
    store.check()
    assert proxy.seen == ["GET", "PUT"]
    assert list(store.list()) == []
    proxy.plan("PUT", 403)
    with pytest.raises(StoreConfigError, match="No permission"):
        store.check()
    proxy.plan("PUT", 501)  # a server without conditional writes to a version
    store.check()
    assert list(store.list()) == []
