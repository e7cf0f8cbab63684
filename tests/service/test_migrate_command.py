"""`baton migrate` as a separate command, with exit statuses that scripts can use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.db.migrate import migrate, standing
from tests.service.helpers import ON_BOTH
from tests.support.preloaded import output_of
from tests.support.service import TOKEN

pytestmark = [ON_BOTH, pytest.mark.process]


def run(module: str, url: str, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run a module with this database. Returns its exit status and its output."""
    return output_of(module, arguments, {**os.environ, "BATON_DATABASE_URL": url, **settings})


def test_a_schema_is_brought_up_to_date_as_a_step_of_its_own(new_database_url: Callable[[], str]) -> None:
    url = new_database_url()
    newest = standing(url).wanted
    status, printed = run("baton.cli", url, "migrate", "--check")
    assert (status, printed) == (1, f"the schema is at revision none, behind {newest}: run `baton migrate`\n")
    assert run("service.migrate", url) == (0, f"migrated from revision none to {newest}\n")
    up_to_date = (0, f"the schema is at revision {newest}: up to date\n")
    assert run("service.migrate", url) == up_to_date
    assert run("service.migrate", url, "--check") == up_to_date


@pytest.mark.parametrize(
    ("url", "advice"),
    [("mysql://x", "names mysql"), ("postgresql+psycopg://x@127.0.0.1:1/x", "cannot be migrated")],
)
def test_what_is_wrong_ends_with_status_2(url: str, advice: str) -> None:
    status, printed = run("service.migrate", url)
    assert status == 2
    assert "BATON_DATABASE_URL" in printed
    assert advice in printed


def test_a_service_told_not_to_migrate_refuses_an_older_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/baton.db"
    migrate(url)
    migrate(url, "0007")
    settings = {"BATON_MIGRATE": "0", "BATON_TOKEN": TOKEN, "BATON_PORT": "0", "BATON_STORE": tmp_path.as_uri()}
    status, printed = run("service", url, **settings)
    assert status == 2
    assert "revision 0007" in printed
    assert "run `baton migrate`" in printed
    assert standing(url).found == "0007"
