"""A store on Google Cloud Storage's emulator, behind a proxy that injects faults."""

from collections.abc import Iterator

import pytest

from baton.storage import BlobStore, open_store
from baton.storage.gcs import GcsStore
from tests.contract.flaky_proxy import FlakyProxy, flaky_proxy
from tests.support.gcs import GcsEmulator


@pytest.fixture
def proxy(emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    with flaky_proxy(emulator.host) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.host)
        yield running


@pytest.fixture
def store(proxy: FlakyProxy, emulator: GcsEmulator, request: pytest.FixtureRequest) -> GcsStore:
    return GcsStore(emulator.bucket, f"flaky/{request.node.name}"[:100], deadline=10)


@pytest.fixture
def direct(store: GcsStore, emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """A second client of the same bucket, without the proxy."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.host.removeprefix("http://"))
    return open_store(store.url)
