from collections.abc import Iterator

import pytest

from baton.client.client import Client
from baton.client.transport import RetryPolicy
from tests.client.fake_service import TOKEN, FakeService


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def client(fake: FakeService) -> Iterator[Client]:
    with Client(fake.url, TOKEN, patience=RetryPolicy(tries=4, first_delay=0.01)) as made:
        yield made
