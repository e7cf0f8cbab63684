"""The dashboard, the client and a worker behind a proxy that publishes the service below a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from baton import Client
from tests.browser.conftest import Tab, opened
from tests.support.caddy import published
from tests.support.fast_jobs import fast
from tests.support.service import TOKEN, running_service
from tests.support.worker import Workers, workers

PREFIX = "/tools/baton"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefix")


@pytest.fixture(scope="module")
def published_at(folder: Path, redis_url: str) -> Iterator[tuple[str, Workers]]:
    """The URL in front of the proxy, and workers that know no other."""
    settings = {"BATON_PUBLIC_URL": f"https://host.example{PREFIX}", "BATON_CONDUCTOR_SECONDS": "0.2"}
    with (
        running_service(folder, redis_url, **settings) as service,
        published(service.url, PREFIX, folder) as url,
        workers(service, folder, "tests.support.fake_worker") as made,
    ):
        yield url, made


@pytest.fixture
def tab(browser: Browser, published_at: tuple[str, Workers]) -> Iterator[Tab]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        tab = opened(context)
        yield tab
        assert tab.unexpected_errors() == []


def test_the_dashboard_client_and_worker_work_below_a_path(tab: Tab, published_at: tuple[str, Workers]) -> None:
    (url, made), page = published_at, tab.page
    made.start("--poll", BATON_URL=url, BATON_REDIS_URL="redis://127.0.0.1:1/0", BATON_FAKE_STEP_SECONDS="0.2")
    with Client(url, TOKEN) as client:
        job = client.submit(fast("below", epochs=100, labels={"team": "vision"}))
        page.goto(url)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="below").click()
        page.wait_for_url(f"{url}/jobs/{job.id}")
        status = page.locator(".head > .badge")
        expect(status).to_have_attribute("data-state", "running")
        page.get_by_role("navigation", name="Parts of the job").get_by_role("link", name="Events").click()
        page.wait_for_url(f"{url}/jobs/{job.id}/events")
        # The events arrive as a stream, while nobody touches anything.
        client.pause(job.id)
        expect(page.locator('tr[data-kind="paused"]')).to_be_visible()
        expect(status).to_have_attribute("data-state", "paused")
        page.reload()  # the session's cookie is sent for this path
        expect(status).to_have_attribute("data-state", "paused")
        page.locator(".head .labels").get_by_role("link", name="vision").click()
        page.wait_for_url(re.compile(rf"{re.escape(url)}/\?label=team"))
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Workers").click()
        page.wait_for_url(f"{url}/workers")
        expect(page.get_by_role("region", name="Workers")).to_contain_text("worker-1")
        page.goto(f"{url}{client.sign_in_link().path}")
        page.get_by_role("heading", name="Jobs").wait_for()
        assert page.url == f"{url}/"
