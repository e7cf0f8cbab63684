"""Actions of the dashboard on one job and on many. Routes that change the gallery are answered by the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Gallery, signed_in
from tests.browser.job_pages import JOB, RULES, open_job

Sent = list[tuple[str, str, Any]]
Answer = Callable[..., Sent]


@pytest.fixture
def answer(page: Page) -> Answer:
    """A function that answers writes to a path, and returns the list of what was sent."""

    def make(pattern: str, value: Any, status: int = 200) -> Sent:
        sent: Sent = []

        def handle(route: Route) -> None:
            request = route.request
            if request.method == "GET":
                return route.fallback()
            sent.append((request.method, request.url.rpartition("/v1/")[2], json.loads(request.post_data or "null")))
            found = value(sent[-1][2]) if callable(value) else value
            return route.fulfill(status=status, body=json.dumps(found), content_type="application/json")

        page.route(pattern, handle)
        return sent

    return make


def ask(page: Page, action: str, button: str) -> None:
    page.locator(f'[data-action="{action}"]').click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name=button).click()


def test_a_failed_job_is_retried_and_a_finished_one_is_continued_cloned_and_deleted(
    page: Page, gallery: Gallery, answer: Answer
) -> None:
    failed, done = gallery.ids["wide-network-1"], gallery.ids["digits-demo"]
    open_job(page, gallery, "wide-network-1")
    retried = answer(f"**/v1/jobs/{failed}/retry", {}, 202)
    ask(page, "retry", "Retry the job")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert retried == [("POST", f"jobs/{failed}/retry", None)]
    made = answer("**/v1/jobs", {"id": failed}, 201)
    for action in ("continue", "clone"):
        open_job(page, gallery, "digits-demo")
        page.locator(f'[data-action="{action}"]').click()
        if action == "continue":
            page.get_by_label("Checkpoint").select_option("best")
        page.get_by_label("Name").fill("again")
        page.get_by_label("Changes").fill("optimizer.learning_rate=1e-4\nno path")
        page.get_by_role("button", name="Submit the new job").click()
        expect(page.get_by_role("alert").last).to_contain_text('"no path" has no "="')
        page.get_by_label("Changes").fill("optimizer.learning_rate=1e-4\nstages.0.name=first")
        page.get_by_role("button", name="Submit the new job").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("wide-network-1")
    changes = {"optimizer.learning_rate": 1e-4, "stages.0.name": "first", "name": "again"}
    assert [body for _, _, body in made] == [
        {"from": {"job": done, "checkpoint": "best"}, "set": changes},
        {"clone": done, "set": changes},
    ]
    open_job(page, gallery, "digits-demo")
    deleted = answer(f"**/v1/jobs/{done}", None, 202)
    page.locator('[data-action="delete"]').click()
    expect(page.get_by_role("dialog")).to_contain_text("checkpoints, files, report, logs, history")
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert deleted == [("DELETE", f"jobs/{done}", None)]


def test_editing_sends_what_was_changed_and_shows_it(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, "long-haul")
    page.locator('[data-action="edit"]').click()
    page.get_by_label("Labels").fill("team=docs")
    page.get_by_label("Notes").fill("Kept for the report.")
    page.get_by_label("Protected").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-notes]")).to_have_text("Kept for the report.")
    expect(page.get_by_text("protected", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="team docs")).to_be_visible()
    page.locator('[data-action="edit"]').click()
    page.get_by_label("Labels").fill("")
    page.get_by_label("Notes").fill("")
    page.get_by_label("Protected").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-notes]")).to_have_count(0)


def test_many_jobs_are_selected_previewed_and_changed(page: Page, answer: Answer) -> None:
    page.goto("/?status=failed")
    page.get_by_label("Select wide-network-1").check()
    expect(page.get_by_text("1 job selected")).to_be_visible()
    page.get_by_role("button", name="Select all that match").click()

    def bulk(body: dict[str, Any]) -> dict[str, Any]:
        if body.get("preview"):
            return {
                "preview": {"number": 201, "more": False, "jobs": [{"id": "a", "name": "net-a", "status": "failed"}]}
            }
        why = [{"id": "b", "name": "net-b", "why": "it is running"}]
        first = {"done": 200, "unchanged": 0, "skipped": 0, "reasons": [], "next_cursor": "7.1"}
        last = {"done": 0, "unchanged": 0, "skipped": 1, "reasons": why, "next_cursor": None}
        return last if body.get("cursor") else first

    sent = answer("**/v1/jobs:bulk", bulk)
    page.locator('[data-bulk="retry"]').click()
    expect(page.get_by_role("dialog")).to_contain_text("Retry 201 jobs?")
    page.get_by_role("dialog").get_by_role("button", name="Retry 201 jobs").click()
    expect(page.get_by_text("Retry: 200 jobs done, 1 skipped. net-b: it is running")).to_be_visible()
    chosen = {"action": "retry", "filter": {"status": ["failed"]}}
    assert [body for _, _, body in sent] == [
        {**chosen, "preview": True},
        {**chosen, "expect": 201},
        {**chosen, "expect": 201, "cursor": "7.1"},
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forms_and_the_bar_fit_a_small_phone_and_rules_of_access_hold(
    browser: Browser, gallery: Gallery, scheme: Any
) -> None:
    size = {"width": 360, "height": 740}
    with browser.new_context(base_url=gallery.service.url, viewport=size, color_scheme=scheme) as context:
        tab = signed_in(context)
        page = tab.page
        for action in ("edit", "continue", "delete"):
            open_job(page, gallery, "digits-demo")
            page.locator(f'[data-action="{action}"]').click()
            expect(page.get_by_role("dialog")).to_be_visible()
            fits_and_is_accessible(page)
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
        page.goto("/")
        page.get_by_label(f"Select {JOB}").check()
        fits_and_is_accessible(page)
        assert tab.unexpected_errors() == []


def fits_and_is_accessible(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    found = Axe().run(page, options={"runOnly": RULES, "iframes": False})
    assert found.violations_count == 0, found.generate_report()
