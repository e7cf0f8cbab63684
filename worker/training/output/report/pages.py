"""Makes the files of a report: report.html, which contains everything, report.md, and a PNG file for each figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from baton.domain.evaluation import SetResult
from worker.training.evaluation import evaluated
from worker.training.output.report import tables
from worker.training.output.report.augmented import augmentations
from worker.training.output.report.figures import curves, matrix, pictures
from worker.training.output.report.figures.canvas import Drawing, styled
from worker.training.output.report.formatting import division, duration, markdown, moment, number, percent, short_names
from worker.training.output.report.inputs import ReportInputs
from worker.training.output.report.run_timeline import timeline_of

HTML, MARKDOWN = "report.html", "report.md"
GALLERY_NAME = 16
"""Characters of a class name that fit below an image next to its probability."""

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class SetSection:
    """The section of a report about one set of images."""

    name: str
    result: SetResult
    confusion: Drawing
    gallery: Drawing
    best: tables.Table
    worst: tables.Table
    mistakes: tables.Table
    classes: tables.Table


def make_report(inputs: ReportInputs, folder: Path) -> None:
    """Writes all files to the folder."""
    with styled():
        content = _content(inputs)
    for drawing in content["drawings"]:
        drawing.save(folder)
    for name in (HTML, MARKDOWN):
        text = _templates().get_template(f"{name}.j2").render(content)
        (folder / name).write_text(text, encoding="utf-8")


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(TEMPLATES)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"percent": percent, "number": number, "duration": duration, "moment": moment}
    made.filters |= {"division": division, "md": markdown}
    return made


def _content(inputs: ReportInputs) -> dict[str, Any]:
    facts, timeline = inputs.facts, timeline_of(inputs.facts)
    names = short_names(facts.class_names)
    sets = {name: evaluated(answers, facts.class_names, facts.losses[name]) for name, answers in inputs.answers.items()}
    sections = [_section(name, result, inputs, names) for name, result in sets.items()]
    curve = [curves.loss(timeline), curves.accuracy(timeline), curves.learning_rate(timeline)]
    found = enumerate(augmentations(timeline.spec, inputs.originals), start=1)
    samples = [pictures.augmented(k, title, inputs.originals, changed) for k, (title, changed) in found]
    seen = [drawing for section in sections for drawing in (section.confusion, section.gallery)]
    return {
        "facts": facts,
        "timeline": timeline,
        "spec": timeline.spec,
        "running": not facts.finished,
        "sections": sections,
        "curves": curve,
        "samples": samples,
        "drawings": [*curve, *samples, *seen],
        "spec_text": yaml.safe_dump(facts.spec, sort_keys=False, width=100, allow_unicode=True),
        "results": tables.results(sets, timeline.spec.published),
        "stages": tables.stages(timeline),
        "splits": tables.splits(facts.splits),
        "epochs": tables.epochs(facts.history),
        "attempts": tables.attempts(facts.attempts),
        "goodput": tables.goodput(facts.job) if facts.job else None,
        "environment": tables.environment(facts.environment),
    }


def _section(name: str, result: SetResult, inputs: ReportInputs, names: tuple[str, ...]) -> SetSection:
    return SetSection(
        name=name,
        result=result,
        confusion=matrix.confusion(name, result, names),
        gallery=pictures.gallery(
            name, inputs.shown[name], inputs.answers[name], short_names(inputs.facts.class_names, GALLERY_NAME)
        ),
        best=tables.classes([result.classes[label] for label in result.best]),
        worst=tables.classes([result.classes[label] for label in result.worst]),
        mistakes=tables.confusions(result),
        classes=tables.classes(result.classes),
    )
