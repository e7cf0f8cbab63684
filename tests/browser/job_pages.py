"""The page of the example job, and the accessibility rules that all pages keep."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Gallery

JOB = "paper-network-2"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def open_job(page: Page, gallery: Gallery, name: str = JOB, tab: str = "") -> None:
    page.goto(f"/jobs/{gallery.ids[name]}{tab}")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
