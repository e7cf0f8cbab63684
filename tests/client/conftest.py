from collections.abc import Iterator

import pytest

from baton.client.client import BatonClient
from baton.client.transport import Patience
from tests.client.fake_service import TOKEN, FakeService


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def client(fake: FakeService) -> Iterator[BatonClient]:
    with BatonClient(fake.url, TOKEN, patience=Patience(tries=4, first_delay=0.01)) as made:
        yield made
