"""`baton report` and `baton evaluate`, without the code of the worker that they call."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from baton.cli import app
from baton.cli.evaluation_text import evaluation_markdown, evaluation_table
from baton.domain.evaluation import Averages, ClassResult, EvaluatedModel, Evaluation, SetResult
from tests.client.fake_service import NOW, TOKEN, FakeService, job

Baton = Callable[..., Result]
FILES = {
    "report.html": b"<!DOCTYPE html>", "report.md": b"# mine", "report-loss.png": b"png", "best.keras": b"zip"
}  # fmt: skip


@pytest.fixture
def baton(fake: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baton:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATON_URL", fake.url)
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    fake.jobs["j1"] = job("j1", "mine")
    fake.files.update(FILES)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_page_lands_here_or_where_it_is_wanted(baton: Baton) -> None:
    assert baton("report", "mine").stdout == "mine-report.html\n"
    assert Path("mine-report.html").read_bytes() == FILES["report.html"]
    baton("report", "mine", "--out", "some/where")
    assert Path("some/where/mine-report.html").exists()
    baton("report", "mine", "--out", "some/name.html")
    assert Path("some/name.html").exists()


def test_markdown_comes_with_its_figures_and_nothing_else(baton: Baton) -> None:
    assert baton("report", "mine", "--markdown").stdout == "mine-report/report.md\n"
    assert {p.name for p in Path("mine-report").iterdir()} == {"report.md", "report-loss.png"}
    assert baton("report", "mine", "--markdown", "--out", "a.md").exit_code == 2


def test_it_opens_in_the_browser(baton: Baton, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    baton("report", "mine", "--open")
    assert [Path(url.removeprefix("file://")).name for url in opened] == ["mine-report.html"]


@pytest.mark.parametrize(
    ("missing", "arguments", "changes", "message"),
    [
        (["report.html", "report.md"], [], {}, "after the first finished epoch, on a busy machine"),
        (["report.html", "report.md"], [], {"status": "failed", "finished_at": NOW}, "none was written"),
        (["report.md"], ["--markdown"], {}, "Markdown is written when the job ends"),
    ],
)
def test_a_report_that_is_not_there_is_explained(
    baton: Baton, fake: FakeService, missing: list[str], arguments: list[str], changes: dict[str, Any], message: str
) -> None:
    fake.jobs["j1"] |= changes
    for name in missing:
        del fake.files[name]
    result = baton("report", "mine", *arguments)
    assert result.exit_code == 4
    assert message in result.stderr


def test_evaluating_says_what_is_missing(baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = baton("evaluate", "mine")
    assert result.exit_code == 2
    assert "needs tensorflow, which is not installed" in result.stderr


def result(name: str) -> SetResult:
    classes = [
        ClassResult(label=k, name=text, images=2, predicted=2, precision=0.5, recall=0.5, f1=0.5)
        for k, text in enumerate((name, "<script>|x"))
    ]
    macro = Averages(precision=0.5, recall=0.5, f1=0.5)
    return SetResult(
        images=4, loss=None, accuracy=0.5, top5_accuracy=1, macro=macro, classes=tuple(classes), best=(0,), worst=(1,),
        confusion=((1, 1), (1, 1)),
    )  # fmt: skip


def test_an_evaluation_as_text() -> None:
    model = EvaluatedModel(role="best", stage=2, epoch=7, image_size=64)
    sets = {"validation": result("[bold]ant[/bold]"), "test": result("bee")}
    given = Evaluation(job="mine", network="network-1", dataset="digits", model=model, sets=sets)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(evaluation_table(given))
    shown = console.export_text()
    assert "[bold]ant[/bold]" in shown
    assert "best model (stage 2, epoch 7), images of 64 px" in shown
    text = evaluation_markdown(given)
    assert "<script" not in text
    assert "| validation | 4 | 50.00 % | 100.00 % | - | 50.00 % | 50.00 % | 50.00 % |" in text
