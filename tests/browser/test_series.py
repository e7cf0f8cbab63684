"""The series of a job in the dashboard: the user chooses them, and peaks are visible."""

from __future__ import annotations

import csv
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Gallery
from tests.browser.job_pages import JOB, open_job
from tests.browser.seed_series import PEAK


def titles(page: Page) -> list[str]:
    return page.locator(".charts figcaption h2").all_inner_texts()


def test_the_user_chooses_series_and_each_has_a_chart(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, tab="/series")
    expect(page.locator(".charts .uplot")).to_have_count(4)
    assert titles(page) == ["grad_norm", "learning_rate", "loss", "val/accuracy"]
    chosen = page.get_by_role("region", name="Chosen series")
    expect(chosen.get_by_role("row", name="grad_norm")).to_contain_text(str(PEAK))
    page.get_by_label("Filter names").fill("GPU0")
    expect(page.locator(".choices label")).to_have_count(4)
    page.get_by_label("system/gpu0_power").check()
    expect(page.locator(".charts .uplot")).to_have_count(5)
    assert titles(page)[-1] == "system/gpu0_power W"
    # The power has times, the others steps, until the user chooses times for all.
    expect(page.locator(".charts .u-legend").filter(has_text="Time")).to_have_count(1)
    page.get_by_role("radio", name="Time").check()
    expect(page.locator(".charts .u-legend").filter(has_text="Time")).to_have_count(5)
    page.get_by_label("Filter names").fill("")
    for name in ("grad_norm", "learning_rate", "loss", "val/accuracy"):
        page.get_by_label(name, exact=True).uncheck()
    assert titles(page) == ["system/gpu0_power W"]
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Series").click()
    expect(page.locator(".charts .uplot")).to_have_count(1)


def test_all_points_can_be_downloaded(page: Page, gallery: Gallery, tmp_path: Path) -> None:
    open_job(page, gallery, tab="/series")
    with page.expect_download() as found:
        page.get_by_role("button", name="Download all as CSV").click()
    assert found.value.suggested_filename == f"{JOB}-series.csv"
    found.value.save_as(tmp_path / "series.csv")
    with (tmp_path / "series.csv").open() as file:
        peaks = [row for row in csv.DictReader(file) if row["name"] == "grad_norm" and float(row["value"]) == PEAK]
    assert len(peaks) == 1


def test_a_job_without_series_says_when_they_come(page: Page, gallery: Gallery) -> None:
    open_job(page, gallery, "long-haul", "/series")
    expect(page.get_by_text("No series yet.")).to_be_visible()


def test_a_series_of_several_jobs_is_compared(page: Page, gallery: Gallery) -> None:
    ids = [gallery.ids[name] for name in (JOB, "digits-demo", "wide-network-1")]
    page.goto("/compare?" + "&".join(f"job={one}" for one in ids))
    page.get_by_label("Curve").select_option("step:grad_norm")
    legend = page.locator(".u-legend")
    expect(legend).to_contain_text("Step")
    expect(legend.locator(".u-value").nth(1)).not_to_have_text("–")
    page.get_by_label("Curve").select_option("val_loss")
    expect(legend).to_contain_text("Epoch")
