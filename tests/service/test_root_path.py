"""A service behind a path prefix: links, cookies and files, whether or not the proxy removes the prefix."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from http.cookies import SimpleCookie

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError

from service.settings import Settings
from tests.service.browser import Browser
from tests.service.helpers import Api, assert_problem, spec
from tests.support.service import TOKEN

PREFIX = "/tools/baton"
LEFT, REMOVED = PREFIX, ""


class Links(HTMLParser):
    """All addresses that a page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value and value[0] != "#"]


@pytest.fixture
def prefixed(start: Callable[..., Api]) -> Api:
    return start(public_url=f"https://host.example{PREFIX}/")


def sent_by_proxy(link: str, at: str) -> str:
    """The path that reaches the service for a link in a page."""
    assert link.startswith(f"{PREFIX}/"), link
    return at + link.removeprefix(PREFIX)


@pytest.mark.parametrize("at", [LEFT, REMOVED])
def test_pages_and_files_are_found_below_the_prefix(prefixed: Api, at: str) -> None:
    views = [f"{at}/", f"{at}/jobs/{'0' * 32}/logs", f"{at}/docs"] + [at] * bool(at)
    for view in views:
        page = prefixed.http.get(view)
        assert page.status_code == 200, view
        links = Links(page.text).found
        assert links
        for link in links:
            if link != f"{PREFIX}/#content":
                assert prefixed.http.get(sent_by_proxy(link, at)).status_code == 200, link
    assert f'<meta name="baton-root" content="{PREFIX}">' in prefixed.http.get(f"{at}/").text
    assert_problem(prefixed.http.get(f"{at}/nonesuch"), 404, "not-found")
    assert_problem(prefixed.http.get("/tools/batonist"), 404, "not-found")


@pytest.mark.parametrize("at", [LEFT, REMOVED])
def test_the_api_answers_with_the_prefix(prefixed: Api, at: str) -> None:
    answer = prefixed.http.post(f"{at}/v1/jobs", json=spec())
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{PREFIX}/v1/jobs/{job['id']}")
    assert prefixed.http.get(f"{at}/v1/jobs/{job['id']}").json()["id"] == job["id"]
    assert prefixed.http.get(f"{at}/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert prefixed.http.post(f"{at}/v1/jobs/{job['id']}/cancel").status_code == 202
    stream = prefixed.http.get(f"{at}/v1/jobs/{job['id']}/events", headers={"Accept": "text/event-stream"})
    assert "event: submitted" in stream.text
    # Clients append it to their address of the service, which has the prefix already.
    assert prefixed.http.post(f"{at}/v1/session/links").json()["path"].startswith("/#sign-in=")


def test_routes_in_metrics_have_no_prefix(prefixed: Api) -> None:
    prefixed.http.get(f"{LEFT}/v1/jobs")
    prefixed.http.get("/v1/jobs")
    text = prefixed.http.get("/metrics").text
    counted = re.findall(r'baton_http_request_duration_seconds_count\{.*route="([^"]+)"', text)
    assert "/v1/jobs" in counted
    assert not [route for route in counted if route.startswith(PREFIX)]


def test_the_cookie_is_for_the_prefix_and_is_removed_there(prefixed: Api) -> None:
    browser = Browser(prefixed)
    told = browser.log_in()
    assert SimpleCookie(told.headers["set-cookie"])["baton_session"]["path"] == PREFIX
    assert browser.get(f"{PREFIX}/v1/session").status_code == 200
    gone = browser.http.delete(f"{PREFIX}/v1/session", headers={"Baton-CSRF": browser.csrf})
    assert SimpleCookie(gone.headers["set-cookie"])["baton_session"]["path"] == PREFIX
    assert "baton_session" not in browser.http.cookies


def test_the_prefix_can_differ_from_that_of_the_dashboard(start: Callable[..., Api]) -> None:
    api = start(public_url=f"https://host.example{PREFIX}", root_path="/")
    assert api.http.post("/v1/jobs", json=spec()).headers["location"].startswith("/v1/jobs/")
    assert_problem(api.http.get(f"{PREFIX}/v1/jobs"), 404, "not-found")
    assert start(root_path="/other/").http.get("/other/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"root_path": "baton"}, "has the path 'baton'"),
        ({"root_path": "/a//b"}, "has the path"),
        ({"root_path": "/../x"}, "has the path"),
        ({"root_path": '/"><script>'}, "has the path"),
        ({"root_path": "/jobs/x"}, "begins with /jobs, which is a path of the service itself"),
        ({"public_url": "https://host/v1"}, "begins with /v1"),
        ({"public_url": "https://host/b%20c"}, "has the path"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(changes: dict[str, str], word: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(word)):
        Settings(token=TOKEN, **changes)  # type: ignore[arg-type]


def test_every_first_segment_of_the_services_own_paths_is_refused_as_a_prefix(api: Api) -> None:
    routes = iter_route_contexts(api.http.app.routes)  # type: ignore[union-attr]
    firsts = {(route.path or "/").split("/")[1] for route in routes} - {""}
    assert {"v1", "jobs", "assets", "docs", "openapi.json"} <= firsts
    for first in firsts:
        with pytest.raises(ValidationError, match="a path of the service itself"):
            Settings(token=TOKEN, root_path=f"/{first}")  # type: ignore[arg-type]
