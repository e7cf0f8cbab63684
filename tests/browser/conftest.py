"""A real Chromium before a real service; a test fails when a page said an error that it did not expect."""

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
    """A page of the dashboard, signed in. `forgiven`: what its console may say."""

    page: Page
    said: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    def forgive(self, pattern: str) -> None:
        """The browser itself complains of answers that are refusals: those that the test asks for."""
        self.forgiven.append(pattern)

    def complaints(self) -> list[str]:
        """What was said beside that."""
        return [text for text in self.said if not any(re.search(pattern, text) for pattern in self.forgiven)]


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
    """A service with jobs to look at, by their names."""

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


def hear(tab: Tab, message: ConsoleMessage) -> None:
    """Errors and warnings; what is less is for those who look."""
    if message.type in ("error", "warning"):
        tab.said.append(f"{message.type}: {message.text}")


def opened(context: BrowserContext) -> Tab:
    """A new page of the context, listened to."""
    context.set_default_timeout(1000 * SECONDS)
    tab = Tab(context.new_page())
    tab.page.on("console", lambda message: hear(tab, message))
    tab.page.on("pageerror", lambda error: tab.said.append(f"exception: {error}"))
    return tab


def signed_in(context: BrowserContext, token: str = TOKEN) -> Tab:
    """The same with a session."""
    answer = context.request.post("/v1/session", data={"token": token})
    assert answer.status == 201, answer.text()
    return opened(context)


@pytest.fixture
def stranger(browser: Browser, gallery: Gallery) -> Iterator[Tab]:
    """A page before the gallery, signed out."""
    with browser.new_context(base_url=gallery.service.url) as context:
        tab = opened(context)
        yield tab
        assert tab.complaints() == []


@pytest.fixture
def tab(browser: Browser, gallery: Gallery) -> Iterator[Tab]:
    """A page in the gallery."""
    with browser.new_context(base_url=gallery.service.url, viewport={"width": 1280, "height": 900}) as context:
        tab = signed_in(context)
        yield tab
        assert tab.complaints() == []


@pytest.fixture
def page(tab: Tab) -> Page:
    """The same, for those who ask for nothing more."""
    return tab.page
