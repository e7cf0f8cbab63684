"""The link to the dashboard, if the service cannot create one."""

import pytest
from typer.testing import CliRunner

from baton.cli import app
from baton.cli.dashboard import link_or_address
from baton.client.connection import Connection
from tests.client.fake_service import TOKEN, FakeService


def test_an_older_service_has_its_plain_address(fake: FakeService) -> None:
    assert link_or_address(Connection(url=fake.url, token=TOKEN)) == fake.url


def test_a_service_without_links_says_so(fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_URL", fake.url)
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    done = CliRunner().invoke(app, ["dashboard"])
    assert (done.exit_code, "baton: " in done.stderr) == (4, True)
