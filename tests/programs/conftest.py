"""A real Redis, a real service and real workers that run programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

LEASE = {"BATON_LEASE_SECONDS": "5", "BATON_HEARTBEAT_SECONDS": "0.5", "BATON_CONDUCTOR_SECONDS": "0.4"}


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@pytest.fixture(scope="module")  # an idle service would take time from the tests of other modules
def service(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("service"), redis_url, **LEASE) as process:
        yield process


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.light_worker") as made:
        yield made
