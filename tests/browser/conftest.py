"""A real Chromium with a real service. A test fails if a page logs an error that the test does not allow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.browsers import find_browser
from tests.browser.seed_rows import LONG_LEASE
from tests.browser.seeded_service import fill
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess

SECONDS = 60.0
expect.set_options(timeout=1000 * SECONDS)


@dataclass
class Tab:
    """A signed-in page of the dashboard. `allowed`: patterns of console messages that the test expects."""

    page: Page
    errors: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Allow a message.

        The browser logs an error for each refused request, also for those that a test makes on purpose.
        """
        self.allowed.append(pattern)

    def unexpected_errors(self) -> list[str]:
        """The errors that no pattern allows."""
        return [text for text in self.errors if not any(re.search(pattern, text) for pattern in self.allowed)]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find_browser())
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def redis_url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@dataclass(frozen=True)
class Gallery:
    """A service with jobs, and the ids of the jobs by their names."""

    service: ServiceProcess
    ids: dict[str, str]


@pytest.fixture(scope="package")
def gallery(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("gallery")
    service = ServiceProcess(
        database_url=f"sqlite:///{folder}/baton.db",
        redis_url=redis_url,
        store_url=(folder / "store").as_uri(),
        log=folder / "service.log",
        settings=LONG_LEASE,
    )
    ids = fill(service.database_url, service.store_url)
    try:
        service.start()
        yield Gallery(service, ids)
    finally:
        service.kill()


def record(tab: Tab, message: ConsoleMessage) -> None:
    """Record errors and warnings. Other messages are ignored."""
    if message.type in ("error", "warning"):
        tab.errors.append(f"{message.type}: {message.text}")


def opened(context: BrowserContext) -> Tab:
    """A new page of the context, whose console is recorded."""
    context.set_default_timeout(1000 * SECONDS)
    tab = Tab(context.new_page())
    tab.page.on("console", lambda message: record(tab, message))
    tab.page.on("pageerror", lambda error: tab.errors.append(f"exception: {error}"))
    return tab


def signed_in(context: BrowserContext, token: str = TOKEN) -> Tab:
    """A new page of the context with a session."""
    answer = context.request.post("/v1/session", data={"token": token})
    assert answer.status == 201, answer.text()
    return opened(context)


@pytest.fixture
def stranger(browser: Browser, gallery: Gallery) -> Iterator[Tab]:
    """A page of the gallery, signed out."""
    with browser.new_context(base_url=gallery.service.url) as context:
        tab = opened(context)
        yield tab
        assert tab.unexpected_errors() == []


@pytest.fixture
def tab(browser: Browser, gallery: Gallery) -> Iterator[Tab]:
    """A signed-in page of the gallery."""
    with browser.new_context(base_url=gallery.service.url, viewport={"width": 1280, "height": 900}) as context:
        tab = signed_in(context)
        yield tab
        assert tab.unexpected_errors() == []


@pytest.fixture
def page(tab: Tab) -> Page:
    """The page of `tab`, for tests that need nothing more."""
    return tab.page
