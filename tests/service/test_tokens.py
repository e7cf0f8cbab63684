"""Tokens: created, shown once, listed, used, revoked and expired, and the cost of checking them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from baton.domain.tokens import Scope
from service.authn.authenticator import CACHE_SECONDS, USED_EVERY, Authenticator, Credential
from service.authn.failed_logins import FailedLogins
from service.db.auth_tables import ApiToken
from service.db.engine import Database, open_engine
from service.errors import Unauthorized
from service.principal import BOOTSTRAP
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, assert_problem, bearer
from tests.service.rows import everything
from tests.support.service import TOKEN
from tests.support.statements import statements

pytestmark = ON_BOTH


def ask(api: Api, token: str, path: str = "/v1/jobs") -> int:
    return api.http.get(path, headers=bearer(token)).status_code


def test_a_secret_is_shown_once_and_kept_nowhere(api: Api) -> None:
    made = api.token("submit", "read", name="ci", expires_seconds=3600)
    assert re.fullmatch(r"baton_[0-9a-f]{12}_[0-9a-f]{64}", made["token"])
    assert made["token"].startswith(made["prefix"] + "_")
    assert (made["name"], made["scopes"], made["state"]) == ("ci", ["read", "submit"], "active")
    assert (made["created_by"], made["last_used_at"], made["revoked_at"]) == ("user", None, None)
    assert ask(api, made["token"]) == 200
    listed = api.http.get("/v1/tokens").json()["items"]
    assert listed[0]["last_used_at"] is not None
    assert {**listed[0], "last_used_at": None} == {name: value for name, value in made.items() if name != "token"}
    with api.services.database.engine.connect() as connection:
        kept = str(everything(connection))
    assert made["id"] in kept
    assert made["token"].rpartition("_")[2] not in kept
    assert TOKEN not in kept


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "user", "scopes": ["read"]}, "name"),
        ({"name": "conductor", "scopes": ["read"]}, "name"),
        ({"name": "worker:w1", "scopes": ["read"]}, "name"),
        ({"name": "x" * 64, "scopes": ["read"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["attempt"]}, "scopes.0"),
        ({"name": "x", "scopes": ["read"], "expires_seconds": 0}, "expires_seconds"),
        ({"name": "x", "scopes": ["read"], "expires_secs": 60}, "expires_secs"),
    ],
)
@ON_SQLITE
def test_invalid_new_tokens_are_refused(api: Api, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(api.http.post("/v1/tokens", json=body), 422, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_name_is_taken_until_its_token_is_revoked(api: Api) -> None:
    first = api.token("read", name="ci")
    body = {"name": "ci", "scopes": ["read"]}
    assert_problem(api.http.post("/v1/tokens", json=body), 409, "conflict")
    revoked = api.http.post(f"/v1/tokens/{first['id']}/revoke").json()
    assert (revoked["state"], revoked["name"]) == ("revoked", "ci")
    assert api.http.post(f"/v1/tokens/{first['id']}/revoke").json() == revoked
    second = api.token("read", name="ci")
    assert (ask(api, first["token"]), ask(api, second["token"])) == (401, 200)
    for unknown in ("0" * 12, "x", "user"):
        assert_problem(api.http.post(f"/v1/tokens/{unknown}/revoke"), 404, "not-found")


def test_they_are_listed_in_pages(api: Api) -> None:
    made = [api.token("read")["id"] for _ in range(5)][::-1]
    seen, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = api.http.get("/v1/tokens", params=params).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made


def test_an_expired_token_says_so(api: Api) -> None:
    made = api.token("read", expires_seconds=3600)
    assert ask(api, made["token"]) == 200
    api.let_token_expire(made["id"])
    problem = assert_problem(api.http.get("/v1/jobs", headers=bearer(made["token"])), 401, "unauthorized")
    assert "expired at" in problem["detail"]
    assert api.http.get("/v1/tokens").json()["items"][0]["state"] == "expired"


def test_the_log_of_a_job_names_the_token(api: Api) -> None:
    made = api.token("read", "submit", name="night.shift")
    headers = bearer(made["token"])
    job = api.http.post("/v1/jobs", json={"plan": "digits-demo"}, headers=headers).json()["id"]
    assert api.http.post(f"/v1/jobs/{job}/pause", headers=headers).status_code == 202
    assert {event["actor"] for event in api.items(job, "events")} == {"night.shift"}


def test_a_token_is_looked_up_only_now_and_then(api: Api) -> None:
    job, made = api.submit()["id"], api.token("read")
    url, headers = f"/v1/jobs/{job}", bearer(made["token"])
    for _ in range(2):  # the first use is recorded, and the response about the job is cached
        assert api.http.get(url, headers=headers).status_code == 200
    with statements(api.services.database.engine) as found:
        for _ in range(5):
            api.services.statuses.show(job)
        alone = len(found)
        for _ in range(5):
            assert api.http.get(url, headers=headers).status_code == 200
    assert len(found) == 2 * alone
    assert not [one for one in found if "tokens" in one]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def replica(database_url: str, api: Api) -> Iterator[tuple[Authenticator, Clock]]:
    """The authenticator of another process on the same database, with a clock that tests set."""
    engine, clock = open_engine(database_url), Clock()
    yield Authenticator(Database(engine), TOKEN, FailedLogins(0, clock), clock), clock
    engine.dispose()


def test_a_replica_caches_a_revoked_token_for_seconds(api: Api, replica: tuple[Authenticator, Clock]) -> None:
    (authenticator, clock), made = replica, api.token("read")
    shown = Credential(made["token"])
    assert authenticator.verify(shown, "1.2.3.4").token_id == made["id"]
    api.http.post(f"/v1/tokens/{made['id']}/revoke")
    clock.now = CACHE_SECONDS - 0.1
    assert authenticator.verify(shown, "1.2.3.4").name == made["name"]
    clock.now = CACHE_SECONDS
    assert authenticator.known(shown) is None
    with pytest.raises(Unauthorized, match="was revoked"):
        authenticator.verify(shown, "1.2.3.4")


def test_nothing_is_cached_beyond_its_expiry(
    api: Api, replica: tuple[Authenticator, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.authn.authenticator.CACHE_SECONDS", 1e6)
    (authenticator, clock), made = replica, api.token("read", expires_seconds=3600)
    shown = Credential(made["token"])
    authenticator.verify(shown, "1.2.3.4")
    clock.now = 3000.0
    assert authenticator.known(shown) is not None
    clock.now = 3600.0
    assert authenticator.known(shown) is None


def test_a_use_is_noted_seldom(api: Api, replica: tuple[Authenticator, Clock]) -> None:
    (authenticator, clock), made = replica, api.token("read")
    shown = Credential(made["token"])

    def writes() -> int:
        clock.now += CACHE_SECONDS
        with statements(authenticator._database.engine) as found:
            authenticator.verify(shown, "1.2.3.4")
        return len([one for one in found if one.startswith("UPDATE")])

    assert [writes() for _ in range(3)] == [1, 0, 0]
    with api.services.database.write() as session:
        row = session.query(ApiToken).filter_by(id=made["id"]).one()
        assert row.last_used_at is not None
        row.last_used_at -= USED_EVERY
    assert [writes() for _ in range(2)] == [1, 0]


@ON_SQLITE
def test_the_first_token_is_asked_of_nobody(api: Api) -> None:
    with statements(api.services.database.engine) as found:
        assert api.services.authenticator.known(Credential(TOKEN)) == BOOTSTRAP
        assert api.http.get("/v1/networks").status_code == 200
    assert found == []
    assert api.services.authenticator.known(Credential(TOKEN, cookie=True)) is None


# --- wrong tokens ---


def test_wrong_tokens_are_limited_and_right_ones_are_not(start: Callable[..., Api]) -> None:
    api = start(failed_logins=3)
    made = api.token("read")
    assert [ask(api, "wrong") for _ in range(5)] == [401, 401, 401, 429, 429]
    answer = api.http.get("/v1/jobs", headers=bearer("wrong again"))
    assert_problem(answer, 429, "too-many-failures")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert ask(api, made["token"]) == 200
    assert ask(api, TOKEN) == 200
    # This header contains no token.
    assert api.http.get("/v1/jobs", headers={"Authorization": "Basic eDp5"}).status_code == 401


def test_they_are_told_in_one_line(start: Callable[..., Api]) -> None:
    api = start(failed_logins=0)
    for _ in range(7):
        ask(api, "wrong")
    api.services.authenticator.audit_failures()
    api.services.authenticator.audit_failures()
    lines = api.http.get("/v1/audit").json()["items"]
    assert [(line["kind"], line["actor"], line["data"]["count"]) for line in lines] == [("logins_failed", "nobody", 7)]
    assert lines[0]["data"]["addresses"] == {"testclient": 7}


def test_each_address_has_a_minute_of_its_own() -> None:
    clock = Clock()
    failures = FailedLogins(2, clock)
    assert [failures.count("1.2.3.4") for _ in range(3)] == [None, None, 60]
    assert failures.count("1.2.3.5") is None
    clock.now = 50.5
    assert failures.count("1.2.3.4") == 10
    clock.now = 60.0
    assert failures.count("1.2.3.4") is None
    networks = ["2001:db8::1", "2001:db8::2:3", "2001:db8::9"]
    assert [failures.count(one) for one in networks] == [None, None, 60]
    assert [failures.count("::ffff:9.9.9.9"), failures.count("9.9.9.9"), failures.count("9.9.9.9")] == [None, None, 60]
    assert failures.take().count == 12
    assert failures.take().count == 0


def test_many_addresses_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.authn.failed_logins.ADDRESSES", 100)
    failures = FailedLogins(1, Clock())
    for k in range(1000):
        failures.count(f"10.0.{k // 250}.{k % 250}")
    assert (len(failures._windows), len(failures._news)) == (100, 101)
    found = failures.take()
    assert (found.count, len(found.addresses)) == (1000, 20)


def test_every_scope_can_be_given(api: Api) -> None:
    made = api.token(*reversed(Scope))
    assert made["scopes"] == [*Scope]
