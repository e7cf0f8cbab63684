"""The client address of a request behind proxies, and which parts of it a client can forge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.db.migrate import migrate
from service.forwarded_headers import Forwarded
from service.settings import Settings, SettingsError, load_settings
from tests.service.helpers import assert_problem
from tests.support.redis import RedisServer
from tests.support.service import TOKEN

PRIVATE = ("10.0.0.0/8", "fd00::/8")


def seen(trusted: tuple[str, ...], peer: str, *forwarded: str, proto: str = "") -> tuple[str, str]:
    """The client's address and the scheme, as the app sees them."""
    found: dict[str, Any] = {}

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        found.update(scope)

    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    headers += [(b"x-forwarded-proto", proto.encode())] if proto else []
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    asyncio.run(Forwarded(app, trusted)(scope, None, None))  # type: ignore[arg-type]  # of a request without a body
    return found["client"][0], found["scheme"]


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        (PRIVATE, "203.0.113.9", ("192.0.2.1",), "203.0.113.9"),
        (PRIVATE, "10.1.2.3", ("203.0.113.9",), "203.0.113.9"),
        (PRIVATE, "10.1.2.3", ("192.0.2.1, 10.9.9.9, 203.0.113.9, 10.4.4.4",), "203.0.113.9"),
        (PRIVATE, "10.1.2.3", ("192.0.2.1", "203.0.113.9"), "203.0.113.9"),
        (PRIVATE, "10.1.2.3", ("192.0.2.1, nonsense, 10.4.4.4",), "10.4.4.4"),
        (PRIVATE, "10.1.2.3", ("nonsense",), "10.1.2.3"),
        (PRIVATE, "10.1.2.3", (), "10.1.2.3"),
        (PRIVATE, "fd00::7", ("[2001:db8::5]:4711",), "2001:db8::5"),
        (PRIVATE, "::ffff:10.1.2.3", ("203.0.113.9:80",), "203.0.113.9"),
        ((), "::ffff:203.0.113.9", (), "203.0.113.9"),
        (PRIVATE, "testclient", ("203.0.113.9",), "testclient"),
        (("*",), "203.0.113.7", ("192.0.2.1, 203.0.113.9",), "203.0.113.9"),
        ((), "127.0.0.1", ("203.0.113.9",), "127.0.0.1"),
    ],
)
def test_the_client_is_the_last_one_that_is_no_proxy(
    trusted: tuple[str, ...], peer: str, forwarded: tuple[str, ...], client: str
) -> None:
    assert seen(trusted, peer, *forwarded)[0] == client


def test_the_scheme_is_what_the_nearest_proxy_says() -> None:
    assert seen(PRIVATE, "10.1.2.3", proto="https")[1] == "https"
    assert seen(PRIVATE, "10.1.2.3", proto="https, http")[1] == "http"
    assert seen(PRIVATE, "10.1.2.3", proto="gopher")[1] == "http"
    assert seen(PRIVATE, "203.0.113.9", proto="https")[1] == "http"


@pytest.fixture
def start(tmp_path: Any, redis_server: RedisServer) -> Callable[..., TestClient]:
    """A function that makes a service whose requests come from a proxy at 10.1.2.3."""
    url = f"sqlite:///{tmp_path}/baton.db"
    migrate(url)

    def make(**changes: Any) -> TestClient:
        values = {"token": TOKEN, "database_url": url, "redis_url": redis_server.url, "conductor_seconds": 0}
        app = create_app(Settings(**{**values, "store": (tmp_path / "store").as_uri(), **changes}))
        return TestClient(app, client=("10.1.2.3", 4711))

    return make


def test_behind_an_ingress_the_cookie_is_secure(start: Callable[..., TestClient]) -> None:
    """With the proxy trusted, as in the chart's settings, and with the chart's other setting alone."""
    for changes in ({"forwarded_allow_ips": "10.0.0.0/8"}, {"tls_proxy": True}):
        http = start(**changes)
        answer = http.post("/v1/session", json={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
        assert answer.status_code == 201
        assert "; Secure" in answer.headers["set-cookie"], changes
    plain = start().post("/v1/session", json={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" not in plain.headers["set-cookie"]


def test_wrong_logins_count_against_the_client_and_not_the_ingress(start: Callable[..., TestClient]) -> None:
    http = start(forwarded_allow_ips="10.0.0.0/8", failed_logins=3)

    def guess(forwarded: str) -> Any:
        return http.get("/v1/jobs", headers={"Authorization": "Bearer wrong", "X-Forwarded-For": forwarded})

    for number in range(3):
        assert guess(f"192.0.2.{number}, 203.0.113.9").status_code == 401
    assert_problem(guess("192.0.2.77, 203.0.113.9"), 429, "too-many-failures")
    assert guess("203.0.113.10").status_code == 401


def test_whom_to_believe_is_checked_and_read_from_both_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    assert load_settings().forwarded_allow_ips == ("127.0.0.1", "::1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.9.0.0/16")
    assert load_settings().forwarded_allow_ips == ("10.9.0.0/16",)
    monkeypatch.setenv("BATON_FORWARDED_ALLOW_IPS", "10.0.0.7, fd00::/8")
    assert load_settings().forwarded_allow_ips == ("10.0.0.7", "fd00::/8")
    monkeypatch.setenv("BATON_FORWARDED_ALLOW_IPS", "10.0.0.7/8")
    with pytest.raises(SettingsError, match=r"BATON_FORWARDED_ALLOW_IPS: .*10\.0\.0\.7/8.*give addresses and networks"):
        load_settings()
