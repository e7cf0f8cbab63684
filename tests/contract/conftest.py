import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.storage import BlobStore, open_store
from tests.support.gcs import GcsEmulator, gcs_emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[GcsEmulator]:
    with gcs_emulator() as running:
        yield running


@pytest.fixture
def gcs_url(emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.host)
    return emulator.store_url(f"test/{uuid.uuid4().hex}")


@pytest.fixture(params=["directory", "gcs"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "gcs":
        return str(request.getfixturevalue("gcs_url"))
    return (tmp_path / "store with spaces").as_uri()


@pytest.fixture
def store(store_url: str) -> BlobStore:
    return open_store(store_url)
