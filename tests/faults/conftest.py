"""A real service without workers: the tests act as the workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis import running_redis
from tests.support.service import ServiceProcess, running_service


@pytest.fixture(scope="module")  # an idle service would take time from the tests of other modules
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("service"), redis.url) as process:
        yield process
