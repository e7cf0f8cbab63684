"""The contents of a report: the page is parsed, its bytes are never compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.reports import EVIL, material, row
from worker.training.output.report import run_timeline
from worker.training.output.report.formatting import division, markdown, short_names
from worker.training.output.report.inputs import ReportInputs
from worker.training.output.report.pages import make_report
from worker.training.output.report.run_timeline import timeline_of

pytestmark = pytest.mark.process

SECTIONS = ["results", "stages", "curves", "data", "set-validation", "set-test"]
LAST_SECTIONS = ["attempts", "spec", "environment", "history"]
FIGURES = {"loss", "accuracy", "learning-rate", "augmentation-1"}
VOID = {"meta", "br", "img", "link", "input"}


@dataclass
class Page(HTMLParser):
    """The page as a browser sees it: ids, tags, texts, and the cells of each table."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> has no opening tag"

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] in {"td", "th"}:
            self.tables[-1][-1][-1] += data

    def ids(self, tag: str) -> list[str]:
        return [str(attributes["id"]) for name, attributes in self.tags if name == tag and "id" in attributes]

    def table(self, *columns: str) -> list[list[str]]:
        """The rows of the first table whose header begins with these columns."""
        return next(t[1:] for t in self.tables if tuple(t[0][: len(columns)]) == columns)


@dataclass(frozen=True)
class Made:
    folder: Path

    @property
    def page(self) -> Page:
        return Page((self.folder / "report.html").read_text())

    @property
    def markdown(self) -> str:
        return (self.folder / "report.md").read_text()

    @property
    def figures(self) -> set[str]:
        return {path.name.removeprefix("report-").removesuffix(".png") for path in self.folder.glob("*.png")}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ReportInputs], Made]:
    def made(given: ReportInputs) -> Made:
        folder = tmp_path_factory.mktemp("report")
        make_report(given, folder)
        return Made(folder)

    return made


@pytest.fixture(scope="module")
def ended(make: Callable[[ReportInputs], Made]) -> Made:
    return make(material())


def test_the_page_has_every_part(ended: Made) -> None:
    page = ended.page
    assert page.open == []
    assert page.ids("section") == [*SECTIONS, *LAST_SECTIONS]
    sets = {f"{kind}-{name}" for kind in ("confusion", "predictions") for name in ("validation", "test")}
    assert set(page.ids("figure")) == FIGURES | sets == ended.figures
    assert not page.ids("p")  # no notice that the job is still running
    assert sum(tag == "svg" for tag, _ in page.tags) == len(page.ids("figure"))


def test_the_page_needs_nothing_from_elsewhere(ended: Made) -> None:
    links = {"src", "href", "xlink:href", "data", "action"}
    for tag, attributes in ended.page.tags:
        assert tag not in {"script", "iframe", "object", "link", "img"}
        for name in links & attributes.keys():
            assert str(attributes[name]).startswith(("#", "data:image/png;base64,")), (tag, attributes)
    text = (ended.folder / "report.html").read_text()
    assert "url(http" not in text
    assert "@import" not in text
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_no_two_figures_share_an_id(ended: Made) -> None:
    ids = [attributes["id"] for _, attributes in ended.page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', (ended.folder / "report.html").read_text()))
    assert {a or b for a, b in referred} <= set(ids)


def test_what_users_name_is_text(ended: Made) -> None:
    page = ended.page
    assert "script" not in {tag for tag, _ in page.tags}
    shown = " ".join(page.words)
    assert shown.count(EVIL) >= 5  # source, path, worker, processor, class
    assert "<script" not in ended.markdown
    assert "&lt;script&gt;" in ended.markdown


def test_stages_stand_beside_what_the_source_reports(ended: Made) -> None:
    first, second = ended.page.table("stage", "name")
    assert first[:6] == ["1", "first", "16", "128", "3/3", "10"]
    assert first[6:10] == ["27.00 %", "25.62 %", "27.00 %", "26.62 %"]
    assert second[10] == "paper-1"
    assert second[6:10] == ["45.00 %", "–", "45.00 %", "–"]
    validation, test = ended.page.table("set", "images", "top-1")
    assert (validation[-1], test[-1]) == ("40.00 %", "55.00 %")


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (None, "the data set's default"),
        ("official", "official"),
        ({"train": 0.8, "val": 0.2}, "80 % training, 20 % validation"),
        ({"train": 0.7, "val": 0.2, "test": 0.1}, "70 % training, 20 % validation, 10 % test"),
        (
            {"train": 0.8, "val": 0.2, "test": "official"},
            "80 % training, 20 % validation; the official validation images are the test set",
        ),
    ],
)
def test_the_division_of_the_images_is_in_words(split: Any, words: str) -> None:
    assert division(split) == words


def test_splits_attempts_and_goodput_are_told(ended: Made) -> None:
    page = ended.page
    assert page.table("split")[0] == ["training", "480", "6", "80", "80"]
    assert [r[2] for r in page.table("attempt", "worker")] == ["preempted", "lost", "running"]
    assert page.table("activity")[0] == ["training", "1 min", "60.0 %"]
    assert "Goodput 60.0 %" in " ".join(page.words)
    assert "3 files of kinds that are not read: 3 .heic" in " ".join(page.words)


def test_interruptions_lie_where_they_happened() -> None:
    marks = timeline_of(material().facts).marks
    # Epochs 1 to 3 have 10 steps, epoch 4 has 5: step 15 is halfway through epoch 2, step 32 is 0.4 into epoch 4.
    assert [(m.epoch, m.attempt, m.kind, m.step) for m in marks] == [(1.5, 1, "preempted", 15), (3.4, 2, "lost", 32)]


def test_without_the_service_interruptions_come_from_the_history(make: Callable[[ReportInputs], Made]) -> None:
    given = material(told=False)
    assert [(m.epoch, m.kind) for m in timeline_of(given.facts).marks] == [(1.0, "interrupted")]
    assert "The service did not answer" in " ".join(make(given).page.words)


def test_rates_of_a_cycle_are_those_of_each_step() -> None:
    rates = dict(timeline_of(material().facts).rates)
    assert rates[0.0] == pytest.approx(1e-4)
    assert rates[0.7] == pytest.approx(6e-4)
    assert (rates[3], rates[4]) == (1e-3, 1e-3)


def test_a_running_job_has_the_same_report_without_what_is_to_come(make: Callable[[ReportInputs], Made]) -> None:
    made = make(material(finished=False, epochs=2))
    page = made.page
    assert page.ids("p") == ["partial"]
    assert page.ids("section") == [s for s in [*SECTIONS, *LAST_SECTIONS] if s != "set-test"]
    assert "2 of 5 epochs are done" in " ".join(" ".join(page.words).split())
    assert page.table("stage", "name")[1][6:10] == ["–"] * 4
    assert len(timeline_of(material(epochs=2).facts).bands) == 1


def test_two_hundred_classes(make: Callable[[ReportInputs], Made]) -> None:
    made = make(material(classes=200))
    assert len(made.page.table("label", "class")) == 10
    assert max(len(t) for t in made.page.tables) == 201
    with Image.open(made.folder / "report-confusion-test.png") as image:
        assert image.width < 1200


def test_figures_of_the_markdown_are_there(ended: Made) -> None:
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", ended.markdown)
    assert {f"report-{name}.png" for name in ended.figures} == set(linked)
    for block in re.findall(r"(?:^\|.*\n)+", ended.markdown, flags=re.MULTILINE):
        lines = block.splitlines()
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(cells) == 1, block
        assert len(lines) >= 2


def test_material_reads_back(tmp_path: Path) -> None:
    given = material()
    given.write(tmp_path)
    read = ReportInputs.read(tmp_path)
    assert read.facts == given.facts
    for name, answers in given.answers.items():
        assert np.array_equal(read.answers[name].classes, answers.classes)
        assert np.array_equal(read.shown[name].images, given.shown[name].images)
    assert np.array_equal(read.originals, given.originals)


def test_a_loss_that_is_no_number_spoils_nothing(make: Callable[[ReportInputs], Made]) -> None:
    given = material()
    bad = row(2).model_copy(update={"loss": float("nan"), "val_loss": float("inf")})
    rows = (row(1), bad, *given.facts.history[2:])
    facts = given.facts.model_copy(update={"history": rows, "losses": dict.fromkeys(given.answers, float("nan"))})
    made = make(ReportInputs(facts, given.answers, given.shown, given.originals))
    assert made.page.table("set", "images")[0][4] == "–"


def test_drawing_needs_no_tensorflow() -> None:
    code = "import sys, worker.training.output.report.pages; sys.exit(any(n in sys.modules for n in NAMES))"
    names = "('tensorflow', 'keras', 'matplotlib.pyplot')"
    code = code.replace("NAMES", names)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_user_installed_or_made_up_is_reported_too(
    make: Callable[[ReportInputs], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_timeline, "installed", lambda: {"network/own-net": None})
    given = material(epochs=2)
    own = [{"name": "fliplr", "p": 1.0}]
    stages = [{**given.facts.spec["stages"][0], "augmentation": own}, given.facts.spec["stages"][1]]
    spec = {**given.facts.spec, "network": {"name": "own-net"}, "stages": stages}
    facts = given.facts.model_copy(update={"spec": spec})
    made = make(ReportInputs(facts, given.answers, given.shown, given.originals))
    assert {"augmentation-1", "augmentation-2"} <= made.figures
    assert "own-net" in " ".join(made.page.words)
    assert "fliplr" in made.page.table("stage", "name")[0][10]


def test_names_are_shortened_and_stay_apart() -> None:
    long = ("crane, a bird", "crane, a machine", "European fire salamander, Salamandra", "bee")
    assert short_names(long) == ("crane (0)", "crane (1)", "European fire sal…", "bee")


@pytest.mark.parametrize("text", ["a|b", "*a*", "[a](b)", "<b>", "`x`", "a\nb", "# a", "![x](y)"])
def test_markdown_is_text(text: str) -> None:
    assert not re.search(r"(?<!\\)[|*`\[\]]|<|\n|^#", str(markdown(text)))
