from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from baton.cli import app
from baton.client.client import Client
from baton.client.transport import RetryPolicy
from tests.client.command_line import Baton
from tests.client.driven import Driven
from tests.client.fake_service import TOKEN, FakeService


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()
    service.start()
    yield service
    service.stop()


Connect = Callable[..., Client]


@pytest.fixture(params=[Client, Driven.client], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Makes a client. Tests with this fixture run with both clients."""
    made: Connect = request.param
    return made


@pytest.fixture
def client(fake: FakeService, connect: Connect) -> Iterator[Client]:
    with connect(fake.url, TOKEN, patience=RetryPolicy(tries=4, first_delay=0.01)) as made:
        yield made


@pytest.fixture
def baton(fake: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baton:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATON_URL", fake.url)
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments, **kwargs: CliRunner().invoke(app, arguments, **kwargs)
