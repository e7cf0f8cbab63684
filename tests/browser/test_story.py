"""Jobs by clicks alone: submitted with the form, watched, resumed after their worker was killed, finished, and
cancelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Tab, signed_in
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.service import ServiceProcess, running_service
from tests.support.worker import Workers, workers

RIGHT = """name: mine
network: {name: network-2, width: 0.02}
dataset: {name: digits}
stages: [{image_size: 8, epochs: 1, steps_per_epoch: 3}]"""
# Seconds per step: the job must not end before it was killed, resumed and paused, even on a slow machine.
SLOW = "0.3"
LEASE = {"BATON_LEASE_SECONDS": "8", "BATON_HEARTBEAT_SECONDS": "0.5", "BATON_CONDUCTOR_SECONDS": "0.2"}


@dataclass(frozen=True)
class Stack:
    """A service with fake workers."""

    service: ServiceProcess
    workers: Workers


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with (
        running_service(folder, redis_url, **LEASE) as service,
        workers(service, folder, "tests.support.fake_worker") as made,
    ):
        made.start(BATON_FAKE_STEP_SECONDS=SLOW)
        yield Stack(service, made)


@pytest.fixture
def jobs(stack: Stack) -> Iterator[Jobs]:
    with stack.service.client() as http:
        yield Jobs(http)


@pytest.fixture
def watcher(browser: Browser, stack: Stack) -> Iterator[Tab]:
    with browser.new_context(base_url=stack.service.url, viewport={"width": 1280, "height": 900}) as context:
        tab = signed_in(context)
        yield tab
        assert tab.unexpected_errors() == []


def status(page: Page, text: str) -> None:
    expect(page.locator(".head > .badge")).to_have_attribute("data-state", text)


def confirmed(page: Page, verb: str) -> None:
    page.locator(".head").get_by_role("button", name=verb, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=f"{verb} the job").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def job_of(page: Page) -> str:
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f]{32}$"))
    return page.url.rsplit("/", 1)[1]


def test_submitted_by_the_form_watched_killed_resumed_finished(watcher: Tab, stack: Stack, jobs: Jobs) -> None:
    page = watcher.page
    page.goto("/")
    page.get_by_role("link", name="New job").first.click()
    page.get_by_label("name", exact=True).first.fill("by-clicks")
    page.get_by_label("labels", exact=True).fill("team=vision")
    page.get_by_text("Other fields").click()
    page.get_by_role("button", name="Add a field").click()
    page.get_by_label("Path").fill("stages.*.steps_per_epoch")
    page.get_by_label("Value").fill("10")
    page.get_by_role("button", name="Submit").click()
    job = job_of(page)
    status(page, "running")
    expect(page.locator(".head .labels")).to_contain_text("vision")
    # The curves are updated without any input.
    expect(page.locator('[data-plot="accuracy"] canvas')).to_be_visible()
    page.get_by_text("The curves as a table").click()
    rows = page.get_by_role("region", name="Epochs").locator("tbody tr")
    expect(rows.nth(1)).to_be_visible()
    stack.workers.all[-1].kill_group()
    status(page, "recovering")
    stack.workers.start(BATON_FAKE_STEP_SECONDS=SLOW)
    status(page, "running")
    attempts = page.get_by_role("region", name="Attempts").locator("tbody tr")
    expect(attempts).to_have_count(2)
    expect(attempts.nth(1)).to_contain_text("lost")
    expect(page.locator(".stats")).to_contain_text("1 time")
    confirmed(page, "Pause")
    status(page, "paused")
    # From here on a worker without the delay trains the job.
    stack.workers.all[-1].kill_group()
    stack.workers.start()
    confirmed(page, "Resume")
    assert jobs.show(job)["labels"]["team"] == "vision"
    page.get_by_role("navigation", name="Parts of the job").get_by_role("link", name="Events").click()
    expect(page.locator('tr[data-kind="resumed"]')).to_be_visible()
    status(page, "succeeded")
    expect(page.locator('tr[data-kind="succeeded"]')).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(rows).to_have_count(30)
    # No epoch is missing, and none is repeated.
    assert [int(text) for text in rows.locator("td:first-child").all_inner_texts()] == list(range(30, 0, -1))


def test_cancelled_only_when_it_was_meant(watcher: Tab, jobs: Jobs) -> None:
    page = watcher.page
    job = jobs.submit(fast("slow", epochs=500, fake={"step-seconds": 0.01}))
    page.goto(f"/jobs/{job}")
    status(page, "running")
    page.locator(".head").get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    status(page, "running")
    assert jobs.show(job)["status"] == "running"
    confirmed(page, "Cancel")
    status(page, "cancelled")
    expect(page.locator(".head").get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.get_by_role("link", name="Submit again")).to_be_visible()


def test_what_the_service_refuses_is_said_in_the_dialog(watcher: Tab, jobs: Jobs) -> None:
    page = watcher.page
    job = jobs.submit(fast("gone", epochs=500, fake={"step-seconds": 0.01}))
    page.goto(f"/jobs/{job}")
    status(page, "running")
    page.locator(".head").get_by_role("button", name="Pause").click()
    page.route("**/pause", lambda route: route.fulfill(status=409, json={"detail": "it ended a moment ago"}))
    watcher.allow("status of 409")
    page.get_by_role("dialog").get_by_role("button", name="Pause the job").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("it ended a moment ago")
    page.keyboard.press("Escape")
    confirmed(page, "Cancel")


def test_fields_show_what_is_wrong_with_them(watcher: Tab) -> None:
    page = watcher.page
    watcher.allow("status of 422")
    page.goto("/submit")
    epochs = page.locator('[name="stages.0.epochs"]')
    expect(page.get_by_role("region", name="Preview", exact=True)).to_contain_text("30")
    page.get_by_text("Stage 1: warm-16").click()
    epochs.fill("many")
    epochs.press("Tab")
    expect(epochs).to_have_attribute("aria-invalid", "true")
    expect(page.locator('[id="field-stages.0.epochs-error"]')).to_contain_text("number")
    page.get_by_role("button", name="Submit").click()
    expect(epochs).to_be_focused()
    epochs.fill("2")
    epochs.press("Tab")
    expect(epochs).to_have_attribute("aria-invalid", "false")
    expect(page.get_by_role("region", name="Preview", exact=True)).to_contain_text("24")
    page.get_by_text("Other fields").click()
    page.get_by_role("button", name="Add a field").click()
    page.get_by_label("Path").fill("stages.*.epoch")
    page.get_by_label("Value").fill("1")
    page.get_by_label("Value").press("Tab")
    expect(page.locator("#other-0-error")).to_contain_text("did you mean stages.*.epochs")
    page.get_by_label("Plan", exact=True).select_option("paper-network-1")
    expect(page.locator('[id="field-dataset.path-error"]')).to_contain_text("needs the path")


def test_an_own_spec_is_refused_with_its_fields_and_accepted_when_right(watcher: Tab, jobs: Jobs) -> None:
    page = watcher.page
    watcher.allow("status of 4(00|22)")
    page.goto("/submit?of=spec")
    box = page.get_by_label("Spec, as YAML or JSON")
    box.fill("name: mine\nnetwork: {name: network-2")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("alert")).to_contain_text("the body is not supported YAML")
    box.fill("name: mine\nnetwork: {name: network-9}\ndataset: {name: digits}\nstages: [{epochs: 1}]")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("network.name: unknown network 'network-9'")
    box.fill(RIGHT)
    page.get_by_role("button", name="Submit").click()
    job = job_of(page)
    status(page, "succeeded")
    assert jobs.show(job)["name"] == "mine"
    page.get_by_role("link", name="Submit again").click()
    expect(box).to_have_value(re.compile(r'"width": 0.02'))


def test_a_service_that_goes_away_is_waited_for(watcher: Tab, stack: Stack, jobs: Jobs) -> None:
    page = watcher.page
    watcher.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    job = jobs.submit(fast("patient", epochs=2000, fake={"step-seconds": 0.02}))
    page.goto(f"/jobs/{job}")
    status(page, "running")
    stack.service.terminate()
    expect(page.get_by_text("The service does not answer. Trying again…")).to_be_visible()
    stack.service.start()
    expect(page.get_by_text("The service does not answer. Trying again…")).to_be_hidden()
    confirmed(page, "Cancel")
    status(page, "cancelled")
