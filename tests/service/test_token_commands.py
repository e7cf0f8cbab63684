"""`baton token`, `baton project`, `baton audit` and the SDK calls behind them, against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from baton.cli import app
from baton.cli import projects as project_commands
from baton.cli import tokens as token_commands
from baton.client.client import Client
from baton.client.errors import ApiError
from tests.service.helpers import Api, bearer
from tests.support.service import TOKEN
from tests.support.service_client import another_client

Baton = Callable[..., Result]


def sdk(api: Api, token: str = TOKEN) -> Client:
    """A client that needs no network."""
    made = Client("http://testserver", token)
    made._transport.http.close()
    made._transport.http = another_client(api.http, headers=bearer(token))
    return made


@pytest.fixture
def baton(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Baton]:
    monkeypatch.setenv("COLUMNS", "80")
    for commands in (token_commands, project_commands):
        monkeypatch.setattr(commands, "connect", lambda: sdk(api))
    yield lambda *arguments: CliRunner().invoke(app, arguments)


def test_a_token_is_made_listed_and_revoked(api: Api, baton: Baton) -> None:
    made = baton("token", "create", "ci", "--scope", "submit", "--scope", "read", "--expires", "30d")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert secret.startswith("baton_")
    assert secret not in made.stderr
    assert "may read, submit until 20" in made.stderr
    assert sdk(api, secret).whoami().name == "ci"
    shown = baton("token", "list").stdout
    token_id = secret.split("_")[1]
    assert token_id in shown
    assert "read submit" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert secret not in shown
    gone = baton("token", "revoke", secret[:20])
    assert (gone.exit_code, gone.stdout) == (0, f"token {token_id} (ci) is revoked\n")
    assert token_id not in baton("token", "list").stdout
    assert "revoked" in baton("token", "list", "--all").stdout
    with pytest.raises(ApiError) as refused:
        sdk(api, secret).whoami()
    assert refused.value.status == 401
    lines = baton("audit").stdout
    assert lines.index("token ci created") < lines.index("token ci revoked")


def test_scripts_get_json(baton: Baton) -> None:
    made = json.loads(baton("token", "create", "w1", "--scope", "work", "--json").stdout)
    assert (made["scopes"], made["expires_at"]) == (["work"], None)
    listed = json.loads(baton("token", "list", "--json").stdout)
    assert [one["id"] for one in listed] == [made["id"]]
    assert "token" not in listed[0]
    assert json.loads(baton("token", "revoke", made["id"], "--json").stdout)["state"] == "revoked"
    kinds = [one["kind"] for one in json.loads(baton("audit", "--limit", "1", "--json").stdout)]
    assert kinds == ["token_revoked"]


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("create", "x", "--scope", "everything"), 2, "everything"),
        (("create", "x"), 2, "--scope"),
        (("create", "x", "--scope", "read", "--expires", "soon"), 2, "must be a duration"),
        (("create", "user", "--scope", "read"), 2, "name"),
        (("revoke", "0" * 12), 4, "there is no token"),
    ],
)
def test_what_cannot_be_is_said(baton: Baton, arguments: tuple[str, ...], status: int, complaint: str) -> None:
    done = baton("token", *arguments)
    assert (done.exit_code, complaint in done.output) == (status, True), done.output


def test_who_may_not_is_told_what_it_takes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = api.token("read")["token"]
    monkeypatch.setattr(token_commands, "connect", lambda: sdk(api, reader))
    done = CliRunner().invoke(app, ["token", "list"])
    assert done.exit_code == 4
    assert "needs a token with the scope 'admin'" in done.stderr
    assert "Traceback" not in done.output


def test_the_sdk_reads_every_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton.client.tokens.PAGE", 2)
    made = sdk(api)
    ids = [made.create_token(f"t{k}", ["read"], expires_seconds=60).id for k in range(5)]
    assert [one.id for one in made.tokens()] == ids[::-1]
    assert [one.subject for one in made.audit()] == ids[::-1]


def test_a_project_is_made_changed_listed_and_deleted(api: Api, baton: Baton) -> None:
    made = baton("project", "set", "vision", "--max-attempts", "4", "--max-data", "1.5GB")
    assert made.stdout.strip() == "project vision: at most 4 attempts at once, at most 1,500,000,000 bytes of data"
    changed = baton("project", "set", "vision", "--max-attempts", "none", "--max-queued", "100", "--json")
    quotas = json.loads(changed.stdout)["quotas"]
    assert quotas == {
        "max_attempts": None, "max_queued": 100, "max_data_bytes": 1_500_000_000, "max_code_bytes": None
    }  # fmt: skip
    rows = [line.split() for line in baton("projects").stdout.splitlines() if "vision" in line or "default" in line]
    assert rows == [
        ["default", "0", "0", "0", "B", "0", "B"],
        ["vision", "0", "0", "of", "100", "0", "B", "of", "1.5", "GB", "0", "B"],
    ]
    for wrong in (("--max-data", "3 apples"), ("--max-queued", "1.5")):
        assert baton("project", "set", "vision", *wrong).exit_code == 2
    token = baton("token", "create", "ci", "--scope", "submit", "--project", "vision", "--queue", "night")
    assert "may submit in the project vision in the queues night until" in token.stderr
    assert "vision" in baton("token", "list").stdout
    with pytest.raises(ApiError, match="revoke them"):
        sdk(api).delete_project("vision")
    client = sdk(api, token.stdout.strip())
    assert (client.whoami().project, client.whoami().queues) == ("vision", ("night",))
    sdk(api).revoke_token(next(iter(sdk(api).tokens())).id)
    assert baton("project", "delete", "vision").exit_code == 0
    assert [one.name for one in sdk(api).projects()] == ["default"]


def test_a_single_user_sees_nothing_of_projects(baton: Baton) -> None:
    made = baton("token", "create", "ci", "--scope", "submit")
    assert "project" not in made.stderr + baton("token", "list").stdout
