"""The dashboard shows the metrics of programs: their rows lack the fields of an image classifier."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Gallery
from tests.browser.job_pages import JOB, open_job

OF_CLASSIFIER = (
    "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "image_size", "batch_size", "images_per_second",
)  # fmt: skip


def as_program(page: Page, metrics: int) -> None:
    """Answer as if all jobs were programs with dice, val_dice and so many other metrics."""

    def row(known: dict[str, Any]) -> dict[str, Any]:
        values = {"dice": known["epoch"] / 100, "val_dice": known["epoch"] / 200}
        return {**known, **dict.fromkeys(OF_CLASSIFIER), "metrics": values | {f"m{k}": k for k in range(metrics)}}

    def history(route: Route) -> None:
        route.fulfill(json={"items": [row(one) for one in route.fetch().json()["items"]]})

    def stages(route: Route) -> None:
        route.fulfill(json={"items": []})

    def jobs(route: Route) -> None:
        answer = route.fetch()
        found = json.loads(answer.text().replace('"val_accuracy":', '"dice":').replace('"val_accuracy"', '"dice"'))
        route.fulfill(response=answer, json=found)

    page.route(re.compile(r"/history(\?.*)?$"), history)
    page.route("**/stages", stages)
    page.route(re.compile(r"/v1/jobs(/[0-9a-f]{32})?(\?.*)?$"), jobs)


def test_the_curves_and_the_table_of_a_program(page: Page, gallery: Gallery) -> None:
    as_program(page, 9)
    open_job(page, gallery)
    expect(page.locator('[data-plot="dice"] canvas')).to_be_visible()
    expect(page.locator('[data-plot="dice"] .u-legend .u-series')).to_have_text(
        [re.compile("^Epoch"), re.compile("^training"), re.compile("^validation")]
    )
    expect(page.locator("[data-plot]")).to_have_count(8)
    expect(page.locator('[data-plot="images_per_second"]')).to_have_count(0)
    page.get_by_text("Choose metrics: 8 of 10 shown").click()
    page.get_by_label("M8", exact=True).check()
    expect(page.locator('[data-plot="m8"] canvas')).to_be_visible()
    page.get_by_text("The curves as a table").click()
    table = page.get_by_role("region", name="Epochs")
    titles = ["Epoch", "Step", "dice", "validation dice", *(f"m{k}" for k in range(9)), "Took", "Attempt", "Finished"]
    expect(table.locator("th")).to_have_text(titles)
    expect(table.locator("tbody tr").last.locator("td").nth(2)).to_have_text("0.01")


def test_programs_in_the_list_and_compared(page: Page) -> None:
    as_program(page, 1)
    page.goto("/")
    expect(page.get_by_label("Curve")).to_have_value("dice")
    for name in (JOB, "digits-demo"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("button", name="Compare 2").click()
    expect(page.locator('[data-plot="dice"] canvas')).to_be_visible()
    expect(page.get_by_label("Curve").locator(":scope > option")).to_have_text(["dice", "m0", "validation dice"])
    page.get_by_label("Curve").select_option("m0")
    expect(page.locator('[data-plot="m0"] canvas')).to_be_visible()
