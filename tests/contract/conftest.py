import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from baton.storage import BlobStore, open_store
from tests.support.azurite import Azurite, azurite
from tests.support.gcs import GcsEmulator, gcs_emulator
from tests.support.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def emulator() -> Iterator[GcsEmulator]:
    with gcs_emulator() as running:
        yield running


@pytest.fixture
def gcs_url(emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.host)
    return emulator.store_url(f"test/{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def s3_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    set_environment(monkeypatch, s3.environ)
    return s3.store_url(f"test/{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def azure() -> Iterator[Azurite]:
    with azurite() as running:
        yield running


@pytest.fixture
def azure_url(azure: Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    set_environment(monkeypatch, azure.environ)
    return azure.store_url(f"test/{uuid.uuid4().hex}")


def set_environment(monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


SERVERS = [pytest.param(kind, marks=pytest.mark.process) for kind in ("gcs", "s3", "azure")]


@pytest.fixture(params=["directory", *SERVERS])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param != "directory":
        return str(request.getfixturevalue(f"{request.param}_url"))
    return (tmp_path / "store with spaces").as_uri()


@pytest.fixture
def store(store_url: str) -> BlobStore:
    return open_store(store_url)
