"""BATON_WORK_TOKEN and BATON_READ_TOKEN: tokens of one scope that a deployment has from its first start."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from service.principal import READERS, WORKERS
from service.settings import Settings, SettingsError, load_settings
from tests.service.helpers import ON_SQLITE, Api, assert_problem, bearer, worker_info
from tests.support.service import TOKEN

WORK, READ = "work-token-of-the-tests", "read-token-of-the-tests"


@pytest.fixture
def api(start: Callable[..., Api]) -> Api:
    return start(work_token=WORK, read_token=READ)


def test_each_opens_exactly_its_scope(api: Api) -> None:
    report = {**worker_info(), "queues": ["default"]}
    job = api.submit()["id"]
    for token, works, reads in ((WORK, 204, 403), (READ, 403, 200)):
        assert api.http.post("/v1/workers", json=report, headers=bearer(token)).status_code == works
        assert api.http.get("/v1/jobs", headers=bearer(token)).status_code == reads
        assert_problem(api.http.post(f"/v1/jobs/{job}/cancel", headers=bearer(token)), 403, "forbidden")
        assert_problem(api.http.get("/v1/tokens", headers=bearer(token)), 403, "forbidden")
    hand = api.claim(job, token=WORK)
    assert hand.beat().status_code == 200
    told = api.http.get("/v1/session", headers=bearer(WORK)).json()
    assert (told["name"], told["scopes"]) == ("work-bootstrap", ["work"])
    assert (WORKERS.name, READERS.name) == ("work-bootstrap", "read-bootstrap")


@ON_SQLITE
@pytest.mark.parametrize("token", [WORK, READ])
def test_neither_opens_a_session_nor_makes_a_link(api: Api, token: str) -> None:
    """A session without a token's id is the administrator's."""
    assert_problem(api.http.post("/v1/session", json={"token": token}), 403, "forbidden")
    assert_problem(api.http.post("/v1/session/links", headers=bearer(token)), 403, "forbidden")


@ON_SQLITE
def test_without_them_nothing_opens(start: Callable[..., Api]) -> None:
    api = start()
    for token in (WORK, READ, "None", ""):
        assert api.http.get("/v1/session", headers=bearer(token)).status_code == 401


@ON_SQLITE
@pytest.mark.parametrize("name", ["work-bootstrap", "read-bootstrap"])
def test_no_other_token_goes_by_their_names(api: Api, name: str) -> None:
    assert_problem(api.http.post("/v1/tokens", json={"name": name, "scopes": ["read"]}), 422, "invalid-request")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"BATON_WORK_TOKEN": "short"}, "BATON_WORK_TOKEN: .*at least 8 characters"),
        ({"BATON_READ_TOKEN": ""}, "BATON_READ_TOKEN: .*at least 8 characters"),
        ({"BATON_WORK_TOKEN": TOKEN}, "BATON_WORK_TOKEN must differ from BATON_TOKEN"),
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
    assert not [value for value in changes.values() if value and value in str(found.value)]


def test_none_of_them_is_in_a_repr_or_a_log() -> None:
    settings = Settings(token=TOKEN, work_token=WORK, read_token=READ)  # type: ignore[arg-type]  # pydantic makes them secrets
    assert WORK not in repr(settings)
    assert READ not in repr(settings)
    assert settings.secrets.hide(f"a {WORK} b {READ}") == settings.secrets.hide(f"a {TOKEN} b {TOKEN}")
    with pytest.raises(ValidationError):
        Settings(token=TOKEN, work_token=TOKEN)  # type: ignore[arg-type]
