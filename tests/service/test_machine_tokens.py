"""BATON_WORK_TOKEN, BATON_READ_TOKEN, BATON_TUNNEL_TOKEN: tokens of one scope from the first start on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from service.principal import READERS, WORKERS
from service.settings import Settings, SettingsError, load_settings
from tests.service.helpers import Api, assert_problem, bearer, worker_info
from tests.support.service import TOKEN

WORK, READ, TUNNEL = "work-token-of-the-tests", "read-token-of-the-tests", "tunnel-token-of-the-tests"


@pytest.fixture
def api(start: Callable[..., Api]) -> Api:
    return start(work_token=WORK, read_token=READ, tunnel_token=TUNNEL)


def test_each_opens_exactly_its_scope(api: Api) -> None:
    report = {**worker_info(), "queues": ["default"]}
    job = api.submit()["id"]
    for token, works, reads in ((WORK, 204, 403), (READ, 403, 200), (TUNNEL, 204, 403)):
        assert api.http.post("/v1/workers", json=report, headers=bearer(token)).status_code == works
        assert api.http.get("/v1/jobs", headers=bearer(token)).status_code == reads
        assert_problem(api.http.post(f"/v1/jobs/{job}/cancel", headers=bearer(token)), 403, "forbidden")
        assert_problem(api.http.get("/v1/tokens", headers=bearer(token)), 403, "forbidden")
    hand = api.claim(job, token=WORK)
    assert hand.beat().status_code == 200
    told = api.http.get("/v1/session", headers=bearer(WORK)).json()
    assert (told["name"], told["scopes"]) == ("work-bootstrap", ["work"])
    assert (WORKERS.name, READERS.name) == ("work-bootstrap", "read-bootstrap")


@pytest.mark.parametrize("token", [WORK, READ, TUNNEL])
def test_neither_opens_a_session_nor_makes_a_link(api: Api, token: str) -> None:
    """A session without a token's id would be the administrator's session."""
    assert_problem(api.http.post("/v1/session", json={"token": token}), 403, "forbidden")
    assert_problem(api.http.post("/v1/session/links", headers=bearer(token)), 403, "forbidden")


def test_unset_machine_tokens_give_no_access(start: Callable[..., Api]) -> None:
    api = start()
    for token in (WORK, READ, TUNNEL, "None", ""):
        assert api.http.get("/v1/session", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("name", ["work-bootstrap", "read-bootstrap", "tunnel-bootstrap"])
def test_their_names_are_reserved(api: Api, name: str) -> None:
    assert_problem(api.http.post("/v1/tokens", json={"name": name, "scopes": ["read"]}), 422, "invalid-request")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"BATON_WORK_TOKEN": "short"}, "BATON_WORK_TOKEN: .*at least 8 characters"),
        ({"BATON_READ_TOKEN": ""}, "BATON_READ_TOKEN: .*at least 8 characters"),
        ({"BATON_WORK_TOKEN": TOKEN}, "BATON_WORK_TOKEN must differ from BATON_TOKEN"),
        ({"BATON_TUNNEL_TOKEN": TOKEN}, "BATON_TUNNEL_TOKEN must differ from BATON_TOKEN"),
        ({"BATON_PORT": "9090", "BATON_TUNNEL_PORT": "9090"}, "BATON_TUNNEL_PORT .* must differ from BATON_PORT"),
        ({"BATON_WORK_TOKEN": WORK, "BATON_READ_TOKEN": WORK}, "BATON_READ_TOKEN must differ from BATON_WORK_TOKEN"),
    ],
)
def test_tokens_that_make_no_sense_end_the_start(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], word: str
) -> None:
    for name, value in {"BATON_TOKEN": TOKEN, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=word) as found:
        load_settings()
    secrets = (value for name, value in changes.items() if name.endswith("_TOKEN") and value)
    assert not [value for value in secrets if value in str(found.value)]


def test_none_of_them_is_in_a_repr_or_a_log() -> None:
    settings = Settings(token=TOKEN, work_token=WORK, read_token=READ, tunnel_token=TUNNEL)  # type: ignore[arg-type]  # pydantic makes them secrets
    assert WORK not in repr(settings)
    assert READ not in repr(settings)
    assert TUNNEL not in repr(settings)
    hidden = settings.secrets.hide(f"a {TOKEN} b {TOKEN} c {TOKEN}")
    assert settings.secrets.hide(f"a {WORK} b {READ} c {TUNNEL}") == hidden
    with pytest.raises(ValidationError):
        Settings(token=TOKEN, work_token=TOKEN)  # type: ignore[arg-type]
