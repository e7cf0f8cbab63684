"""The dashboard for all users: narrow and dark, by keyboard and screen reader, and with hostile names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Gallery, Tab, signed_in
from tests.browser.job_pages import RULES
from tests.browser.seed_jobs import HOSTILE, Held, SeedJob
from tests.browser.seed_rows import LONG_LEASE
from tests.browser.seeded_service import fill
from tests.support.service import ServiceProcess

JOB = "paper-network-2"
# The browser logs an error when the sandbox blocks a script, which is expected here.
SANDBOXED = "Blocked script execution in .*/report"
TABS = ("", "/logs", "/events", "/checkpoints", "/artifacts", "/report", "/spec")
VIEWS = (
    "/",
    *(f"/jobs/{{job}}{tab}" for tab in TABS),
    "/queue",
    "/workers",
    "/usage",
    "/usage?by=job",
    "/submit",
    "/submit?of=spec",
    "/compare?job={job}&job={other}",
)


def paths(gallery: Gallery) -> list[str]:
    return [path.format(job=gallery.ids[JOB], other=gallery.ids["digits-demo"]) for path in VIEWS]


def settle(page: Page, path: str) -> None:
    """Open a view, and wait until its data is loaded."""
    page.goto(path)
    page.get_by_role("heading", level=1).wait_for()
    expect(page.get_by_text("Loading…")).to_have_count(0)


@pytest.fixture(params=["light", "dark"])
def phone(request: pytest.FixtureRequest, browser: Browser, gallery: Gallery) -> Iterator[Tab]:
    context = browser.new_context(
        base_url=gallery.service.url, viewport={"width": 390, "height": 844}, color_scheme=request.param, has_touch=True
    )
    with context:
        tab = signed_in(context)
        tab.allow(SANDBOXED)
        yield tab
        assert tab.unexpected_errors() == []


def test_nothing_scrolls_sideways_on_a_phone_and_rules_of_access_hold(phone: Tab, gallery: Gallery) -> None:
    broken = []
    for path in paths(gallery):
        settle(phone.page, path)
        wide = phone.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        broken += [f"{path} scrolls by {wide}"] if wide > 0 else []
        found = Axe().run(phone.page, options={"runOnly": RULES, "iframes": False})
        broken += [f"{path}: {found.generate_report()}"] if found.violations_count else []
    assert broken == []


def test_light_and_dark_are_what_the_system_says(page: Page) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # both are of its literals
        page.goto("/")
        grounds.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert [sum(map(int, ground[4:-1].split(", "))) > 380 for ground in grounds] == [True, False]


def test_the_keyboard_alone_opens_a_job_and_refuses_to_cancel_it(page: Page, gallery: Gallery) -> None:
    settle(page, "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name=JOB).focus()
    page.keyboard.press("Enter")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Cancel this job?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(cancel).to_be_focused()
    expect(page.get_by_role("status").filter(has_text=f"Job {JOB} is running, stage 3 of 4.")).to_have_count(1)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Gallery]:
    """A service in which every text is hostile. The texts were written past all checks."""
    folder = tmp_path_factory.mktemp("hostile")
    store = (folder / "store").as_uri()
    service = ServiceProcess(
        f"sqlite:///{folder}/baton.db", redis_url, store, folder / "service.log", settings=LONG_LEASE
    )
    held = Held(4.5, "preempted", HOSTILE[:50], HOSTILE, HOSTILE)
    story = SeedJob(
        HOSTILE, "paused", (held,), ((HOSTILE[:64], 16, 32, 8),), labels={HOSTILE: HOSTILE, "javascript:alert(1)": "x"},
        desired="pause", reason=HOSTILE[:50], message=HOSTILE,
    )  # fmt: skip
    ids = fill(service.database_url, service.store_url, [story], more=1)
    try:
        service.start()
        yield Gallery(service, ids)
    finally:
        service.kill()


def test_hostile_names_are_shown_as_text(browser: Browser, hostile: Gallery) -> None:
    job, other = hostile.ids[HOSTILE], hostile.ids["seed-study-4"]
    with browser.new_context(base_url=hostile.service.url) as context:
        tab = signed_in(context)
        page = tab.page
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        tab.allow(SANDBOXED)
        for path in (
            "/",
            *(f"/jobs/{job}{part}" for part in TABS),
            "/queue",
            "/workers",
            "/usage?by=job",
            f"/submit?from={job}",
            f"/compare?job={job}&job={other}",
        ):
            settle(page, path)
            assert page.locator("#app img, #app script").count() == 0, path
            assert "pwned" not in page.title()[:5], path
        settle(page, f"/jobs/{job}")
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        expect(page.get_by_role("region", name="Attempts")).to_contain_text(HOSTILE)
        settle(page, f"/jobs/{job}/logs")
        expect(page.get_by_role("log")).to_contain_text(HOSTILE)
        assert {url.split("/")[2] for url in asked} == {hostile.service.url.removeprefix("http://")}
        assert tab.unexpected_errors() == []


def test_a_report_is_shown_and_runs_nothing(tab: Tab, gallery: Gallery) -> None:
    tab.allow(SANDBOXED)
    settle(tab.page, f"/jobs/{gallery.ids[JOB]}/report")
    frame = tab.page.frame_locator("iframe.report")
    expect(frame.get_by_role("heading", name="A report")).to_be_visible()
    expect(frame.locator("#said")).to_have_text("made by a worker")
    assert frame.locator("body").evaluate("body => getComputedStyle(body).color") == "rgb(1, 2, 3)"
    assert "pwned" not in tab.page.title()
