"""The security headers of every response, and which origins may send requests."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from service.api.headers import ALL_ANSWERS
from service.api.request_limits import MAX_BODY
from tests.service.helpers import Api

DASHBOARD = "https://dashboard.example.org"


def answers(api: Api, monkeypatch: pytest.MonkeyPatch) -> dict[str, httpx.Response]:
    """One response of each kind."""
    hand = api.running()
    hand.artifact("report.html", b"<script>alert(1)</script>", content_type="text/html")
    url = f"/v1/jobs/{hand.job_id}"
    found = {
        "json": api.http.get("/v1/jobs"),
        "job": api.http.get(url),
        "not changed": api.http.get(url, headers={"If-None-Match": "*"}),
        "file": api.http.get(f"{url}/artifacts/report.html"),
        "log": api.http.get(f"{url}/attempts/1/log"),
        "health": api.http.get("/healthz"),
        "401": api.http.get("/v1/jobs", headers={"Authorization": "Bearer wrong"}),
        "404": api.http.get("/nonesuch"),
        "405": api.http.put("/v1/jobs"),
        "413": api.http.post("/v1/jobs", content=b"x" * (MAX_BODY + 1)),
        "page": api.http.get("/docs"),
    }

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("service.usecases.job_list.page", broken)
    return {**found, "500": api.http.get("/v1/jobs")}


def test_every_answer_is_private_and_of_its_own_type(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers(api, monkeypatch)
    for name in ("401", "404", "405", "413", "500"):
        assert found[name].status_code == int(name)
    for name, answer in found.items():
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["x-frame-options"] == "SAMEORIGIN", name
        assert headers["cache-control"].startswith("private, no-"), name
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, name
        assert "frame-ancestors" in policy, name
        assert "access-control-allow-origin" not in headers, name
        assert all(len(headers.get_list(one)) == 1 for one in ALL_ANSWERS), name


def test_what_a_worker_wrote_runs_no_script_in_the_services_name(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = answers(api, monkeypatch)["file"].headers
    policy = [one.strip() for one in headers["content-security-policy"].split(";")]
    assert "sandbox" in policy  # without allow-scripts and allow-same-origin
    assert not [one for one in policy if one.startswith(("script-src", "default-src")) and "'none'" not in one]
    assert headers["content-type"].startswith("text/html")
    assert headers["content-disposition"].startswith("attachment")


def preflight(api: Api, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return api.http.options("/v1/jobs", headers=asked)


def test_no_page_elsewhere_may_ask(api: Api) -> None:
    assert "access-control-allow-origin" not in preflight(api, DASHBOARD).headers
    answer = api.http.get("/v1/jobs", headers={"Origin": DASHBOARD})
    assert "access-control-allow-origin" not in answer.headers


def test_pages_that_are_named_may_ask_with_a_token(start: Callable[..., Api]) -> None:
    api = start(cors_origins=f" {DASHBOARD}, http://localhost:5173,")
    allowed = preflight(api, DASHBOARD)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, DASHBOARD)
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in preflight(api, "https://evil.example.org").headers
    for status, path in ((200, "/v1/jobs"), (404, "/v1/jobs/nonesuch")):
        answer = api.http.get(path, headers={"Origin": DASHBOARD})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, DASHBOARD)
        # No cookie is sent with the request, whatever the page asks for.
        assert "access-control-allow-credentials" not in answer.headers
        assert "ETag" in answer.headers["access-control-expose-headers"]
