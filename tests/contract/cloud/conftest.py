"""A store on S3 and on Azure Blob Storage, behind a proxy that injects faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from baton.storage import BlobStore, open_store
from baton.storage.object_store import ObjectStore
from baton.storage.object_vendors import AZURE, S3, Vendor
from tests.contract.flaky_proxy import FlakyProxy, flaky_proxy
from tests.support.azurite import Azurite
from tests.support.s3 import S3Server

Server = S3Server | Azurite


@pytest.fixture(params=["s3", "azure"])
def server(request: pytest.FixtureRequest) -> Server:
    running: Server = request.getfixturevalue(request.param)
    return running


@pytest.fixture
def vendor(server: Server) -> Vendor:
    return S3 if isinstance(server, S3Server) else AZURE


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    with flaky_proxy(server.host) as running:
        for name, value in server.environ_at(running.host).items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def store(proxy: FlakyProxy, vendor: Vendor, request: pytest.FixtureRequest) -> ObjectStore:
    return ObjectStore(vendor, "baton-tests", f"flaky/{request.node.name}"[:100], deadline=10)


@pytest.fixture
def direct(store: ObjectStore, server: Server, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """Another user of the same bucket, whose network is fine."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return open_store(store.url)
