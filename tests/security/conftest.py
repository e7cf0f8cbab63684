"""One real service for each module. It has secrets that the tests search for, and short timeouts for slow clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.security.wire import SLOW_SECONDS
from tests.service.helpers import Api
from tests.support.redis import RedisServer, running_redis
from tests.support.service import ServiceProcess, running_service


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[ServiceProcess]:
    settings = {"BATON_SLOW_SECONDS": str(SLOW_SECONDS), "BATON_CONNECTIONS": "40"}
    with running_service(tmp_path_factory.mktemp("service"), redis_server.url, **settings) as process:
        yield process


@pytest.fixture(scope="module")
def api(service: ServiceProcess) -> Iterator[Api]:
    # A new connection for each request: if an attack made the service close a connection, the next test must not
    # notice.
    with service.client() as http:
        http.headers["Connection"] = "close"
        yield Api(http)


@pytest.fixture
def stranger(service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client(base_url=service.url, timeout=30.0) as http:
        yield http


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder that jobs may read, next to `secret`, which they may not read."""
    for name in ("given/cat", "given/dog", "secret/cat", "secret/dog"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(6):
            write_image(folder / f"{number}.png")
    return tmp_path


def write_image(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), (len(path.parent.name), 90, 200)).save(path)
