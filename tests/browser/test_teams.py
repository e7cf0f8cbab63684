"""The pages of a service that several teams share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import signed_in
from tests.support.fast_jobs import fast
from tests.support.service import ServiceProcess, running_service


@pytest.fixture
def shared(tmp_path: Path, redis_url: str) -> Iterator[ServiceProcess]:
    with running_service(tmp_path, redis_url) as service:
        yield service


def test_teams_see_their_jobs_and_an_administrator_sees_whose_they_are(
    browser: Browser, shared: ServiceProcess
) -> None:
    with shared.client() as http:
        assert http.post("/v1/jobs", json=fast(name="alone")).status_code == 201
        assert http.put("/v1/projects/vision", json={"max_queued": 1}).status_code == 201
        body = {"name": "ada", "scopes": ["read", "submit"], "project": "vision"}
        token = http.post("/v1/tokens", json=body).json()["token"]
        own = {"Authorization": f"Bearer {token}"}
        assert http.post("/v1/jobs", json=fast(name="of-vision"), headers=own).status_code == 201
    with browser.new_context(base_url=shared.url, viewport={"width": 1280, "height": 900}) as context:
        tab = signed_in(context)
        page = tab.page
        page.goto("/")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.filter(has_text="of-vision")).to_contain_text("vision, ada")
        page.get_by_label("Project").fill("vision")
        page.get_by_label("Project").press("Enter")
        expect(page).to_have_url(re.compile("project=vision"))
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="Clear").click()
        expect(rows).to_have_count(2)
        page.goto("/usage")
        quotas = page.locator("[data-project=vision]")
        expect(quotas).to_contain_text("1 of 1")
        expect(page.locator("[data-project]")).to_have_count(2)
        assert tab.unexpected_errors() == []
    with browser.new_context(base_url=shared.url) as context:
        tab = signed_in(context, token)
        tab.page.goto("/")
        expect(tab.page.locator("tbody tr")).to_have_count(1)
        expect(tab.page.locator("tbody tr")).to_contain_text("of-vision")
        assert tab.unexpected_errors() == []
