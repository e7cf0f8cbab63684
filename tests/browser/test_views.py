"""The views of the dashboard, with jobs in many states."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Gallery, Tab, opened, signed_in
from tests.browser.job_pages import JOB, open_job
from tests.support.service import TOKEN


def names(page: Page) -> list[str]:
    return page.locator("table.jobs .name").all_inner_texts()


def test_signing_in_and_out(stranger: Tab, gallery: Gallery) -> None:
    page = stranger.page
    page.goto(f"/jobs/{gallery.ids[JOB]}")
    page.get_by_label("Token").fill("not-the-token")
    stranger.allow("status of 401")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=JOB)).to_be_visible()
    assert "HttpOnly" not in page.evaluate("document.cookie")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_link_signs_in_once_and_leaves_no_code_behind(browser: Browser, gallery: Gallery) -> None:
    command = [sys.executable, "-m", "baton.cli", "dashboard"]
    done = subprocess.run(command, env=gallery.service.environment, capture_output=True, text=True, check=True)
    link = done.stdout.strip()
    for heading, allowed in (("Jobs", "^$"), ("Sign in", "status of 401")):
        with browser.new_context() as context:
            tab = opened(context)
            tab.allow(allowed)
            tab.page.goto(link)
            expect(tab.page.get_by_role("heading", level=1)).to_have_text(heading)
            assert tab.page.url == f"{gallery.service.url}/"
            assert tab.unexpected_errors() == []
            assert ("this link was used" in tab.page.inner_text("#content")) == (heading == "Sign in")


def test_a_session_that_may_only_look_is_offered_nothing_else(browser: Browser, gallery: Gallery) -> None:
    with gallery.service.client() as http:
        made = http.post("/v1/tokens", json={"name": "looker", "scopes": ["read"]}).json()
    with browser.new_context(base_url=gallery.service.url) as context:
        page = signed_in(context, made["token"]).page
        page.goto(f"/jobs/{gallery.ids[JOB]}")
        expect(page.get_by_text("looker")).to_be_visible()
        expect(page.get_by_role("heading", name=JOB)).to_be_visible()
        for name in ("Pause", "Cancel", "Edit", "Clone", "Submit again"):
            assert page.get_by_text(name, exact=True).count() == 0
        assert page.get_by_role("link", name="New job").count() == 0
        page.goto("/submit")
        expect(page.get_by_text("may not submit jobs")).to_be_visible()


def test_the_list_is_filtered_by_status_and_label(page: Page) -> None:
    page.goto("/")
    expect(page.locator("table.jobs tbody tr")).to_have_count(25)
    page.get_by_label("Status").select_option("failed")
    expect(page.locator("table.jobs .name")).to_have_text(["wide-network-1"])
    assert page.url.endswith("/?status=failed")
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("link", name="sweep width").click()
    expect(page.locator("table.jobs .name")).to_have_text([JOB])
    assert page.url.endswith("/?label=sweep%3Awidth")
    page.get_by_label("Label").fill("team=docs")
    page.keyboard.press("Enter")
    expect(page.locator("table.jobs tbody tr")).to_have_count(25)
    page.reload()
    expect(page.get_by_label("Label")).to_have_value("team=docs")


def test_the_list_is_filtered_by_name_and_sorted(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Name").fill("wide-*")
    page.keyboard.press("Enter")
    expect(page.locator("table.jobs .name")).to_have_text(["wide-network-1"])
    assert page.url.endswith("/?name=wide-*")
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Order").select_option("name")
    expect(page).to_have_url(re.compile(r"/\?sort=name$"))
    expect(page.locator("table.jobs tbody tr")).to_have_count(25)
    expect(page.locator("table.jobs .name").first).not_to_have_text(JOB)
    assert names(page) == sorted(names(page))


def test_the_list_goes_page_by_page(page: Page) -> None:
    page.goto("/")
    expect(page.locator("table.jobs tbody tr")).to_have_count(25)
    first = names(page)
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_text("Page 2")).to_be_visible()
    expect(page.locator("table.jobs tbody tr")).to_have_count(13)
    assert set(first).isdisjoint(names(page))
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    page.get_by_role("button", name="Newer").click()
    expect(page.locator("table.jobs tbody tr")).to_have_count(25)
    assert names(page) == first


def test_each_job_has_its_curve_in_words_too(page: Page) -> None:
    page.goto("/")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="digits-demo"))
    expect(
        row.get_by_role("img", name=re.compile(r"validation accuracy over 30 epochs, now 9[78]\.\d\d %"))
    ).to_be_visible()
    page.get_by_label("Curve").select_option("loss")
    expect(row.get_by_role("img", name=re.compile(r"^loss over 30 epochs, now 0\.\d+"))).to_be_visible()


def test_jobs_are_compared(page: Page) -> None:
    page.goto("/")
    for name in (JOB, "digits-demo"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("button", name="Compare 2").click()
    expect(page.locator(".uplot canvas")).to_be_visible()
    expect(page.locator(".u-legend .u-series")).to_have_count(3)
    expect(page.get_by_role("region", name="Differences")).to_contain_text("stages.0.image_size")


def drawn(page: Page, name: str) -> int:
    """The number of pixels of the canvas that are not empty."""
    script = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.reduce((count, value) => count + (value > 0), 0);
    }"""
    return int(page.locator(f'[data-plot="{name}"] canvas').evaluate(script))


def test_the_curves_of_a_job(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery)
    for name in ("loss", "accuracy", "learning_rate", "images_per_second"):
        expect(page.locator(f'[data-plot="{name}"] canvas')).to_be_visible()
        assert drawn(page, name) > 2000
    plot = page.locator('[data-plot="loss"]')
    plot.focus()
    page.keyboard.press("End")
    newest = page.locator('[data-plot="loss"] .u-series .u-value').first
    expect(newest).to_have_text(re.compile(r"^\d\d$"))
    last = newest.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(newest).to_have_text(str(int(last) - 1))
    page.get_by_text("Steps", exact=True).first.click()
    plot.focus()
    page.keyboard.press("End")
    expect(newest).to_have_text(re.compile(r"^\d+ \d00$"))
    page.get_by_text("Time", exact=True).click()
    plot.focus()
    page.keyboard.press("Home")
    expect(newest).to_have_text(re.compile(r"min|s$"))
    page.get_by_text("The curves as a table").click()
    expect(page.get_by_role("region", name="Epochs").locator("tbody tr")).to_have_count(int(last))


def test_stages_and_interruptions_lie_where_they_were(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery)
    found = page.evaluate(
        """async (id) => {
          const app = document.querySelector('script[type="module"]').src;
          const { course } = await import(app.replace("app.js", "job/course.js"));
          const items = async (what) => (await (await fetch(`/v1/jobs/${id}/${what}`)).json()).items;
          const job = await (await fetch(`/v1/jobs/${id}`)).json();
          const [history, stages, attempts] = await Promise.all(["history", "stages", "attempts"].map(items));
          const store = { job, history, stages, attempts };
          const { bands, marks } = course(store, "epoch");
          const steps = course(store, "step").marks.map((mark) => mark.at);
          return { bands: bands.map((b) => [b.name, b.begin]), marks: marks.map((m) => [m.kind, m.at]), steps };
        }""",
        gallery.ids[JOB],
    )
    assert [name for name, _ in found["bands"]][:3] == ["warm-32", "grow-64", "augmented-32"]
    assert [begin for _, begin in found["bands"]][:3] == [0, 14, 36]
    assert [kind for kind, _ in found["marks"]] == ["preempted", "lost", "preempted"]
    assert [at for _, at in found["marks"]] == pytest.approx([17.4, 31.0, 44.6])
    assert found["steps"] == pytest.approx([3480, 6200, 8920])


def test_the_attempts_say_who_and_why(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery)
    attempts = page.get_by_role("region", name="Attempts").locator("tbody tr")
    expect(attempts).to_have_count(4)
    expect(attempts.nth(2)).to_contain_text("spot-a100-9")
    expect(attempts.nth(2)).to_contain_text("lease expired")
    expect(attempts.nth(1)).to_contain_text("session ends at 12:00")
    expect(attempts.nth(3).get_by_role("img", name=re.compile("waiting .*, starting 40 s, training "))).to_be_visible()
    page.get_by_role("link", name="log of attempt 1").click()
    expect(page.get_by_role("log")).to_contain_text("the end: the machine is taken")
    expect(page.get_by_text("Complete.")).to_be_visible()


def test_the_goodput_adds_up(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, "digits-demo")
    widths = page.locator(".stack rect").evaluate_all("all => all.map((one) => parseFloat(one.getAttribute('width')))")
    assert len(widths) > 4
    assert sum(widths) == pytest.approx(100, abs=0.1)
    expect(page.locator(".buckets")).to_contain_text("checkpoint stall")


def test_a_log_is_read_as_a_terminal_would_show_it(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, tab="/logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("epoch 89 of 80: loss 0.0333")
    assert "\x1b" not in log.inner_text()
    expect(page.get_by_text("Live.")).to_be_visible()
    page.get_by_role("combobox", name="Attempt").select_option("2")
    expect(log).to_contain_text("the end: no heartbeat for 30 s")


def test_events_checkpoints_files_and_spec(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, tab="/events")
    expect(page.locator('tr[data-kind="attempt_lost"]')).to_contain_text("no heartbeat")
    expect(page.locator('tr[data-kind="epoch"]')).to_have_count(0)
    page.get_by_label("epochs, checkpoints and artifacts too").check()
    expect(page.locator('tr[data-kind="epoch"]')).not_to_have_count(0)
    parts = page.get_by_role("navigation", name="Parts of the job")
    parts.get_by_role("link", name="Checkpoints").click()
    expect(page.get_by_role("region", name="Checkpoints")).to_contain_text("61.3 MB")
    parts.get_by_role("link", name="Files").click()
    expect(page.get_by_role("link", name="best.keras")).to_have_attribute("download", "best.keras")
    parts.get_by_role("link", name="Spec").click()
    expect(page.locator("pre.code")).to_contain_text('"steps_per_epoch": 200')
    page.go_back()
    expect(page.get_by_role("link", name="best.keras")).to_be_visible()


def test_earlier_events_come_when_they_are_asked_for(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, "long-haul", "/events")
    expect(page.locator('tr[data-kind="succeeded"]')).to_be_visible()
    expect(page.locator('tr[data-kind="submitted"]')).to_have_count(0)
    page.get_by_role("button", name="Earlier events").click()
    expect(page.locator('tr[data-kind="submitted"]')).to_be_visible()
    expect(page.get_by_role("button", name="Earlier events")).to_have_count(0)


def test_the_workers(page: Page, gallery: Gallery) -> None:
    page.goto("/workers")
    expect(page.get_by_role("status").filter(has_text="1 idle")).to_be_visible()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="spot-a100-3"))
    expect(row).to_contain_text("NVIDIA A100-SXM4-40GB")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(JOB)


def test_the_usage_is_shown_as_bars_by_what_one_chooses(page: Page, gallery: Gallery) -> None:
    page.goto("/usage")
    bars = page.locator(".bars > li")
    expect(bars).to_have_count(1)
    expect(bars).to_contain_text(re.compile(r"default.* h, .* GPU hours, .* USD"))
    page.locator("select[name=by]").select_option("job")
    expect(page).to_have_url(re.compile(r"/usage\?by=job$"))
    expect(bars.nth(1)).to_be_visible()
    expect(
        page.get_by_role("img", name=re.compile("trained: .* %, redone: .* %, other time: .* %")).first
    ).to_be_visible()
    page.get_by_role("link", name="long-haul").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("long-haul")
    page.goto("/usage?by=month&since=2001-01-01&until=2001-02-01")
    expect(page.get_by_text("Nothing was used in this time.")).to_be_visible()


def test_the_queue_is_shown_in_its_order(page: Page, gallery: Gallery) -> None:
    page.goto("/queue")
    expect(page.get_by_role("heading", level=1)).to_have_text("Queue")
    expect(
        page.get_by_role("status").filter(has_text="in the order").or_(page.get_by_text("No job waits."))
    ).to_be_visible()


def test_a_worker_that_ended_or_is_refused_is_shown_as_that(page: Page, gallery: Gallery) -> None:
    page.goto("/workers")
    expect(page.get_by_role("status").filter(has_text="2 busy, 1 idle, 1 resting, 1 refused, 1 lost")).to_be_visible()
    expect(page.locator("[data-worker=lab-1]")).to_contain_text("set BATON_STORE to gs://bucket/runs")
    rows = page.locator("tbody tr")
    expect(page.locator("[data-worker=lab-3]")).to_contain_text("attempts of different jobs crashed here")
    expect(rows).to_have_count(7)
    expect(rows.last).to_contain_text("colab-42")
    expect(rows.last).to_contain_text(re.compile(r"ended \d+ min ago"))


def test_a_silent_worker_is_told_and_counted_on(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, "silent-sweep")
    note = page.locator("[data-silent]")
    expect(note).to_contain_text(re.compile(r"Worker spot-a100-7 silent for \d+ (s|min); its lease ends in"))
    before = note.inner_text()
    expect(note).not_to_have_text(before)  # the time is updated without a response of the service
    stats = page.locator(".stats")
    expect(stats).to_contain_text("silent for")
    expect(stats).not_to_contain_text("872/s")
    expect(page.locator(".course")).not_to_contain_text("left")
    page.goto("/?status=running")
    row = page.locator(f"[data-job='{gallery.ids['silent-sweep']}']")
    expect(row).to_contain_text("silent for")


def test_what_is_not_there_is_said(tab: Tab) -> None:
    tab.allow("status of 404")
    tab.page.goto(f"/jobs/{'0' * 32}")
    expect(tab.page.get_by_text("There is no such job.")).to_be_visible()
