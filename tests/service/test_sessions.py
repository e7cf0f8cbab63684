"""Browser sessions: scripts cannot read the cookie, other pages cannot send writes, and sessions end."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from service.db.auth_tables import BrowserSession
from service.db.types import db_now
from tests.service.browser import Browser
from tests.service.helpers import Api, assert_problem, bearer
from tests.service.rows import everything


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api)


def cookie(answer: httpx.Response) -> Any:
    return SimpleCookie(answer.headers["set-cookie"])["baton_session"]


def test_a_browser_logs_in_works_and_logs_out(api: Api, browser: Browser) -> None:
    answer = browser.log_in(api.token("read", "submit", name="ada")["token"])
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "private, no-store"
    assert (answer.json()["name"], answer.json()["scopes"]) == ("ada", ["read", "submit"])
    assert browser.get("/v1/session").json() == answer.json()
    job = browser.post("/v1/jobs", {"plan": "digits-demo"})
    assert (job.status_code, browser.get(f"/v1/jobs/{job.json()['id']}").status_code) == (201, 200)
    assert api.items(job.json()["id"], "events")[0]["actor"] == "ada"
    assert_problem(browser.get("/v1/tokens"), 403, "forbidden")
    kept = browser.http.cookies["baton_session"]
    gone = browser.http.delete("/v1/session", headers={"Baton-CSRF": browser.csrf})
    assert (gone.status_code, cookie(gone).value) == (204, "")
    browser.http.cookies.set("baton_session", kept)
    assert_problem(browser.get(), 401, "unauthorized")


def test_the_cookie_is_for_this_service_alone(api: Api, start: Callable[..., Api]) -> None:
    told = cookie(Browser(api).log_in())
    assert (told["httponly"], told["samesite"], told["path"], told["domain"]) == (True, "strict", "/", "")
    assert (told["secure"], told["max-age"]) == ("", "43200")
    assert cookie(Browser(api, "https://testserver").log_in())["secure"] is True
    behind = start(tls_proxy=True, session_seconds=600)
    assert (cookie(Browser(behind).log_in())["secure"], cookie(Browser(behind).log_in())["max-age"]) == (True, "600")
    with api.services.database.engine.connect() as connection:
        assert told.value not in str(everything(connection))


@pytest.mark.parametrize(
    ("site", "csrf"),
    [("same-origin", ""), ("same-origin", "0" * 64), ("same-origin", "ü"), ("cross-site", None), ("same-site", None)],
)
def test_another_page_cannot_write(browser: Browser, site: str, csrf: str | None) -> None:
    browser.log_in()
    browser.csrf = browser.csrf if csrf is None else ""
    headers = {"Sec-Fetch-Site": site, "Baton-CSRF": (browser.csrf if csrf is None else csrf).encode("latin-1")}
    answer = browser.http.post("/v1/jobs", json={"plan": "digits-demo"}, headers=headers)  # type: ignore[arg-type]
    assert_problem(answer, 403, "csrf")
    assert browser.get().json()["items"] == []


def test_nobody_is_logged_in_by_another_page(browser: Browser) -> None:
    answer = browser.log_in(site="cross-site")
    assert_problem(answer, 403, "csrf")
    assert "set-cookie" not in answer.headers


def test_what_opens_no_session(api: Api, browser: Browser) -> None:
    attempt = api.claim(api.submit()["id"]).grant["token"]
    for token in ("wrong", attempt):
        assert_problem(browser.log_in(token), 401, "unauthorized")
    assert_problem(browser.http.post("/v1/session", json={"token": ""}), 422, "invalid-request")
    odd = browser.http.post(
        "/v1/session", content=b'{"token": "\\ud800"}', headers={"content-type": "application/json"}
    )
    assert_problem(odd, 400, "malformed-body")


def test_wrong_logins_are_limited(start: Callable[..., Api]) -> None:
    browser = Browser(start(failed_logins=2))
    assert [browser.log_in("wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert browser.log_in().status_code == 201


def test_a_header_goes_before_the_cookie(api: Api, browser: Browser) -> None:
    browser.log_in()
    assert_problem(browser.get(Authorization="Bearer wrong"), 401, "unauthorized")
    reader = api.token("read")["token"]
    view = browser.get("/v1/session", Authorization=f"Bearer {reader}").json()
    assert (view["scopes"], view["csrf"]) == (["read"], None)
    # A browser never adds a token header by itself, so such a request needs no CSRF token.
    headers = bearer(api.token("submit")["token"])
    assert browser.http.post("/v1/jobs", json={"plan": "digits-demo"}, headers=headers).status_code == 201


def test_revoking_the_token_ends_its_sessions(api: Api) -> None:
    made, other = api.token("read"), api.token("read")
    browsers = [Browser(api), Browser(api)]
    for browser, token in zip(browsers, (made, other), strict=True):
        assert browser.log_in(token["token"]).status_code == 201
        assert browser.get().status_code == 200
    api.http.post(f"/v1/tokens/{made['id']}/revoke")
    assert [browser.get().status_code for browser in browsers] == [401, 200]
    assert rows(api) == 1


def test_a_session_ends_with_its_time_or_its_token(api: Api) -> None:
    made, browser = api.token("read", expires_seconds=60), Browser(api)
    assert browser.log_in(made["token"]).json()["expires_at"] == made["expires_at"]
    browser.log_in()
    assert browser.get().status_code == 200
    with api.services.database.write() as session:
        session.execute(update(BrowserSession).values(expires_at=db_now()))
    api.services.authenticator.forget()
    problem = assert_problem(browser.get(), 401, "unauthorized")
    assert "expired" in problem["detail"]
    Browser(api).log_in()
    assert rows(api) == 1  # expired sessions were deleted


def rows(api: Api) -> int:
    with api.services.database.read() as session:
        return session.execute(select(func.count()).select_from(BrowserSession)).scalar_one()


def test_another_first_token_ends_all_sessions(api: Api, start: Callable[..., Api]) -> None:
    browser = Browser(api)
    browser.log_in(api.token("read")["token"])
    same, changed = Browser(start()), Browser(start(token="another-token-of-the-service"))
    for other in (same, changed):
        other.http.cookies.set("baton_session", browser.http.cookies["baton_session"])
    assert [other.get().status_code for other in (same, changed)] == [200, 401]


def test_who_shows_a_token_learns_what_it_may(api: Api) -> None:
    view = api.http.get("/v1/session").json()
    assert view == {
        "name": "user",
        "scopes": ["read", "submit", "data", "programs", "work", "admin"],
        "expires_at": None,
        "csrf": None,
        "project": None,
        "queues": None,
    }
    assert api.http.delete("/v1/session").status_code == 204
    assert api.http.get("/v1/jobs").status_code == 200
