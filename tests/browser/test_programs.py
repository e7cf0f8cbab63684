"""The page of a job that is a program. The tests change an answer about a job of the gallery into that of a program."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Gallery, signed_in
from tests.browser.job_pages import JOB, open_job

SPEC = {
    "program": {"command": ["python", "a b.py"], "code": "sha256:" + "c" * 64, "environment": {"SEED": "7"}},
    "params": {"lr": 0.1},
    "monitor": {"metric": "val_loss", "mode": "min"},
}
UNKNOWN = dict.fromkeys(("stage", "stages", "epoch", "epochs", "step", "steps", "total_steps", "fraction"), 0)


def make_it_a_program(page: Page, job_id: str) -> None:
    def job(route: Route) -> None:
        answer = route.fetch()
        changed = {**answer.json(), "spec": SPEC, "progress": {**UNKNOWN, "global_step": 1500}}
        route.fulfill(response=answer, json=changed)

    page.route(re.compile(rf"/v1/jobs/{job_id}(\?.*)?$"), job)
    page.route(f"**/v1/jobs/{job_id}/stages", lambda route: route.fulfill(json={"items": []}))


def test_a_program_shows_what_it_runs_and_no_stages(page: Page, gallery: Gallery) -> None:
    make_it_a_program(page, gallery.ids[JOB])
    open_job(page, gallery)
    about = page.locator("section", has=page.get_by_role("heading", name="About"))
    for text in ("python 'a b.py'", "sha256:cccc", "SEED=7", '"lr": 0.1', "val_loss, min"):
        expect(about).to_contain_text(text)
    expect(about).not_to_contain_text("Network")
    expect(page.get_by_role("heading", name="Stages")).to_have_count(0)
    expect(page.locator(".course")).to_have_text("step 1 500")
    expect(page.locator('[data-action="clone"]')).to_be_visible()


def test_programs_without_rows_are_compared_by_their_series(page: Page, gallery: Gallery) -> None:
    ids = [gallery.ids[name] for name in (JOB, "digits-demo")]
    for one in ids:
        make_it_a_program(page, one)
    page.route(re.compile(r"/history(\?.*)?$"), lambda route: route.fulfill(json={"items": []}))
    page.goto("/compare?" + "&".join(f"job={one}" for one in ids))
    expect(page.get_by_label("Curve")).to_have_value("step:grad_norm")
    expect(page.locator(".u-legend .u-value").nth(1)).not_to_have_text("–")
    expect(page.get_by_label("Curve").locator("option", has_text="validation accuracy")).to_have_count(0)
    page.goto(f"/jobs/{ids[0]}")
    expect(page.get_by_role("region", name="Curves")).to_contain_text("Curves appear after the first run.epoch()")
    expect(page.get_by_role("link", name="Report")).to_have_count(0)


def test_a_session_without_the_scope_is_not_offered_to_start_a_program(browser: Browser, gallery: Gallery) -> None:
    with gallery.service.client() as http:
        made = http.post("/v1/tokens", json={"name": "trainer", "scopes": ["read", "submit"]}).json()
    with browser.new_context(base_url=gallery.service.url) as context:
        page = signed_in(context, made["token"]).page
        make_it_a_program(page, gallery.ids[JOB])
        open_job(page, gallery)
        expect(page.locator('[data-action="edit"]')).to_be_visible()
        for action in ("clone", "continue", "resume", "retry"):
            expect(page.locator(f'[data-action="{action}"]')).to_have_count(0)
        expect(page.get_by_role("link", name="Submit again")).to_have_count(0)
