"""Every route checks the scope that it declares before it reads anything else of the request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from baton.domain.tokens import Scope
from service.api.auth import READ, SUBMIT, GuardedRoute
from service.web.pages import VIEWS
from tests.service.helpers import Api, assert_problem, bearer
from tests.support.service import ROOT, TOKEN
from tests.support.service_client import another_client

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/v1/session"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    # The page and the files of the dashboard are the same for everybody: their scripts load the data with a session.
    ("GET", "/assets/{name}/{path:path}"),
    *(("GET", view) for view in VIEWS),
}
NOBODY = "0" * 32
ANYTHING = {
    "queue": "default",
    "job_id": NOBODY,
    "attempt_id": NOBODY,
    "token_id": "0" * 12,
    "name": "x",
    "project": "x",
    "number": "1",
    "sha256": "0" * 64,
    "digest": "0" * 64,
}


@dataclass(frozen=True)
class Route:
    """An operation of the OpenAPI document, with the scopes of which a caller needs one."""

    method: str
    path: str
    scopes: frozenset[str]

    def ask(self, http: TestClient, token: str | None, **ids: str) -> httpx.Response:
        """Send a malformed body: only a caller that passed the check of the scope gets an error about the body."""
        headers = {"content-type": "application/json", **(bearer(token) if token else {})}
        url = self.path.format(**{**ANYTHING, **ids})
        content = b"{" if self.method in ("POST", "PATCH") else None
        return http.request(self.method, url, headers=headers, content=content)


@pytest.fixture
def api(start: Callable[..., Api]) -> Api:
    return start(failed_logins=0)


@pytest.fixture
def stranger(api: Api) -> TestClient:
    """A client that sends no credentials of its own."""
    return another_client(api.http)


def contract(api: Api) -> Iterator[Route]:
    for path, operations in api.http.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            alternatives = operation.get("security") or []
            scopes = frozenset(scope for one in alternatives for found in one.values() for scope in found)
            if (method.upper(), path) not in OPEN:
                assert scopes, f"{method} {path} needs no scope: add it to OPEN, or declare the scope that it needs"
                yield Route(method.upper(), path, scopes)


def test_no_route_is_open_that_is_not_meant_to_be(api: Api) -> None:
    found = set()
    for route in iter_route_contexts(api.http.app.routes):  # type: ignore[union-attr]
        guarded = isinstance(route.original_route, GuardedRoute) and route.original_route.needs.scopes
        found |= {(method, route.path) for method in route.methods or () if not guarded}
    assert {(method, path) for method, path in found if method != "HEAD"} == OPEN


@pytest.mark.parametrize("dependencies", [[], [READ, SUBMIT]])
def test_a_route_that_does_not_say_what_it_needs_cannot_be_made(dependencies: list[object]) -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match=r"/new must declare its scope exactly once"):
        router.get("/new", dependencies=dependencies)(lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["none", "wrong", "unknown", "forged", "revoked", "expired"])
def test_without_a_good_token_nothing_opens(api: Api, stranger: TestClient, kind: str) -> None:
    token = shown(api, kind)
    for route in contract(api):
        answer = route.ask(stranger, token)
        problem = assert_problem(answer, 401, "unauthorized")
        for scope in route.scopes:
            assert f"'{scope}'" in problem["detail"], route
        assert answer.headers["www-authenticate"].startswith('Bearer realm="baton", scope="'), route
        assert set(answer.headers["www-authenticate"].split('"')[3].split()) == route.scopes
        assert token is None or token not in answer.text
        assert TOKEN not in answer.text


def shown(api: Api, kind: str) -> str | None:
    if kind in ("none", "wrong"):
        return None if kind == "none" else "wrong"
    if kind == "unknown":
        return f"baton_{'0' * 12}_{'0' * 64}"
    found = api.token(*Scope)
    if kind == "forged":
        return str(found["token"][:-1]) + ("1" if found["token"].endswith("0") else "0")
    if kind == "revoked":
        assert api.http.post(f"/v1/tokens/{found['id']}/revoke").json()["state"] == "revoked"
    else:
        api.let_token_expire(found["id"])
    return str(found["token"])


@pytest.mark.parametrize("scope", [*Scope, "attempt"])
def test_a_scope_opens_what_declares_it_and_nothing_else(api: Api, stranger: TestClient, scope: str) -> None:
    token, ids = holder(api, scope)
    for route in contract(api):
        answer = route.ask(stranger, token, **ids)
        if scope in route.scopes or scope == Scope.ADMIN:
            # The routes of objects also check whose object the path names.
            of_object = route.path.endswith("/objects/{name}")
            assert answer.status_code not in (401, 403) or of_object, (route, answer.text)
            continue
        problem = assert_problem(answer, 403, "forbidden")
        assert all(f"'{needed}'" in problem["detail"] for needed in route.scopes), problem
        head = 'Bearer realm="baton", error="insufficient_scope", scope="'
        assert answer.headers["www-authenticate"].startswith(head)


def holder(api: Api, scope: str) -> tuple[str, dict[str, str]]:
    """A token with this scope alone, and values for the parameters of the path."""
    if scope != "attempt":
        return api.token(scope)["token"], {}
    hand = api.claim(api.submit()["id"])
    return hand.grant["token"], {"attempt_id": hand.attempt_id, "job_id": hand.job_id}


def test_the_reference_names_the_scope_of_every_route(api: Api) -> None:
    text = (ROOT / "docs/reference/access.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \| ([^|]+) \|", text, re.M)
    told = {(method, path): frozenset(re.findall(r"`(\w+)`", scopes)) for method, path, scopes in rows}
    assert told.pop(("POST", "/v1/session")) == frozenset()
    assert told == {(route.method, route.path): route.scopes for route in contract(api)}
