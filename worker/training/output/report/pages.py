"""From the material to the files: report.html with everything in it, report.md and a PNG file for each figure."""

from __future__ import annotations

from collections.abc import Mapping
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
from worker.training.output.report.run_timeline import RunTimeline, timeline_of

HTML, MARKDOWN = "report.html", "report.md"
GALLERY_NAME = 16
"""Letters of a class's name that fit below an image beside its probability."""

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Judgement:
    """What a report says of one set of images."""

    name: str
    result: SetResult
    confusion: Drawing
    gallery: Drawing
    best: tables.Table
    worst: tables.Table
    mistakes: tables.Table
    classes: tables.Table


def make_report(material: ReportInputs, folder: Path) -> None:
    """Writes all files into the folder."""
    with styled():
        content = _content(material)
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


def _content(material: ReportInputs) -> dict[str, Any]:
    facts, course = material.facts, timeline_of(material.facts)
    names = short_names(facts.class_names)
    sets = {
        name: evaluated(answers, facts.class_names, facts.losses[name]) for name, answers in material.answers.items()
    }
    judgements = [_judgement(name, result, material, names) for name, result in sets.items()]
    curve = [curves.loss(course), curves.accuracy(course), curves.learning_rate(course)]
    samples = _samples(course, material)
    seen = [drawing for j in judgements for drawing in (j.confusion, j.gallery)]
    return {
        "facts": facts,
        "course": course,
        "spec": course.spec,
        "running": not facts.finished,
        "judgements": judgements,
        "curves": curve,
        "samples": samples,
        "drawings": [*curve, *samples, *seen],
        "spec_text": yaml.safe_dump(facts.spec, sort_keys=False, width=100, allow_unicode=True),
        **_tables(material, course, sets),
    }


def _tables(material: ReportInputs, course: RunTimeline, sets: Mapping[str, SetResult]) -> dict[str, Any]:
    facts = material.facts
    return {
        "results": tables.results(dict(sets), course.spec.published),
        "stages": tables.stages(course),
        "splits": tables.splits(facts.splits),
        "epochs": tables.epochs(facts.history),
        "attempts": tables.attempts(facts.attempts),
        "goodput": tables.goodput(facts.job) if facts.job else None,
        "environment": tables.environment(facts.environment),
    }


def _judgement(name: str, result: SetResult, material: ReportInputs, names: tuple[str, ...]) -> Judgement:
    return Judgement(
        name=name,
        result=result,
        confusion=matrix.confusion(name, result, names),
        gallery=pictures.gallery(
            name, material.shown[name], material.answers[name], short_names(material.facts.class_names, GALLERY_NAME)
        ),
        best=tables.classes([result.classes[label] for label in result.best]),
        worst=tables.classes([result.classes[label] for label in result.worst]),
        mistakes=tables.confusions(result),
        classes=tables.classes(result.classes),
    )


def _samples(course: RunTimeline, material: ReportInputs) -> list[Drawing]:
    found = augmentations(course.spec, material.originals)
    return [
        pictures.augmented(k, title, material.originals, changed) for k, (title, changed) in enumerate(found, start=1)
    ]
