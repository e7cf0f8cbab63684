"""Tables of plans for terminals with 80 columns. Their columns are those of the tables in the papers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from baton.cli.program_facts import program_facts
from baton.cli.render import facts_grid, table
from baton.domain.plan_views import PlanStageView, PlanView
from baton.domain.spec import Published

NUMBERS = ("parameters", "stages", "epochs", "steps", "images", "#", "px", "val", "batch", "end", "best")
LEGEND = "px, val: image size in training, validation; steps: per epoch; end, best: published validation accuracy in %"
ROUNDED = 3


def plans_table(plans: Sequence[PlanView]) -> Table:
    """The table of `baton plans`: one line for each plan."""
    made = _narrow("plan", "network", "parameters", "stages", "epochs", "steps", "images", "published")
    for plan in plans:
        totals = plan.totals
        counts = (totals.parameters, totals.stages, totals.epochs, totals.steps, totals.images) if totals else ()
        cells = [_count(count) for count in counts] or ["-"] * 5
        made.add_row(plan.name, str(_of(plan.spec, "network", "name") or "-"), *cells, _headline(plan.published))
    return made


def plans_notes(plans: Sequence[PlanView]) -> Table:
    """Title and source of each plan, and the fields that a submission must add."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for plan in plans:
        grid.add_row(plan.name, plan.title)
        if plan.source:
            grid.add_row("", Text(f"source: {plan.source}", style="dim"))
        if plan.missing:
            grid.add_row("", Text(_to_be_given(plan), style="yellow"))
    return grid


def plan_facts(plan: PlanView) -> Table:
    """The facts about a plan that apply to all stages."""
    return facts_grid(_facts(plan))


def _facts(plan: PlanView) -> Iterator[tuple[str, RenderableType]]:
    yield "plan", Text(plan.name, style="bold")
    if plan.title:
        yield "", plan.title
    if plan.source:
        yield "source", plan.source
    if "program" in plan.spec:
        yield from program_facts(plan.spec)
        return
    yield "network", _network(plan)
    yield "data", _data(plan)
    yield "optimizer", _listed({key: value for key, value in plan.optimizer.items() if value}).removeprefix("name ")
    yield "seed", f"{plan.seed}, {plan.precision}"
    if plan.published:
        shares = plan.published.model_dump(exclude_none=True)
        results = (f"{name.replace('_', ' ')} {_percent(share)} %" for name, share in shares.items())
        yield "published", ", ".join(results)
    if plan.missing:
        yield "to be given", Text(_to_be_given(plan).removeprefix("to be given: "), style="yellow")


def _network(plan: PlanView) -> str:
    totals, width = plan.totals, _of(plan.spec, "network", "width") or 1.0
    text = f"{_of(plan.spec, 'network', 'name')}, width {number(width)}"
    if totals is None or totals.parameters is None:
        return text
    return (
        f"{text}, {totals.classes} classes: {totals.parameters:,} parameters, {totals.trainable_parameters:,} trainable"
    )


def _data(plan: PlanView) -> str:
    split = plan.split
    if isinstance(split, dict):
        split = _listed(split)
    images = plan.totals.training_images if plan.totals else None
    counted = f": {images:,} training images" if images is not None else ""
    return f"{_of(plan.spec, 'dataset', 'name')}, split {split}{counted}"


def _of(spec: dict[str, Any], part: str, key: str) -> Any:
    found = spec.get(part)
    return found.get(key) if isinstance(found, dict) else None


def _to_be_given(plan: PlanView) -> str:
    sets = " ".join(f"--set {one.field}=..." for one in plan.missing)
    return f"to be given: {sets} ({'; '.join(one.message for one in plan.missing)})"


def plan_stages(stages: Sequence[PlanStageView]) -> Table:
    """One line for each stage, as in the papers' tables. `stage_notes` explains the columns."""
    made = _narrow("#", "px", "val", "batch", "epochs", "steps", "augment", "schedule", "from", "end", "best")
    for stage in stages:
        sizes = (stage.stage, stage.image_size, stage.validation_image_size, stage.batch_size, stage.epochs)
        cells = [*(str(size) for size in sizes), _count(stage.steps_per_epoch), _augmentation(stage)]
        published = stage.published or Published()
        reported = _percent(published.val_accuracy), _percent(published.best_val_accuracy)
        made.add_row(*cells, short_schedule(stage.schedule), stage.start_from, *reported)
    return made


def _augmentation(stage: PlanStageView) -> str:
    return "own" if stage.augmentation.startswith("[") else stage.augmentation


def _narrow(*columns: str) -> Table:
    made = table(*columns, right=NUMBERS)
    made.padding = (0, 0, 0, 0)
    return made


def stage_notes(stages: Sequence[PlanStageView]) -> Iterator[Text]:
    """The lines below the table of stages: the columns, the names of stages, and each schedule in full."""
    yield Text(LEGEND, style="dim")
    names = [f"{stage.stage} {stage.name}" for stage in stages if stage.name != f"stage-{stage.stage}"]
    if names:
        yield Text(f"names: {', '.join(names)}", style="dim")
    for stage in stages:
        if _augmentation(stage) == "own":
            yield Text(f"own augmentation of stage {stage.stage}: {stage.augmentation}", style="dim")
    for line in schedules_in_full(stages):
        yield Text(line, style="dim")


def totals_line(plan: PlanView) -> str:
    """The totals of all stages on one line."""
    totals = plan.totals
    if totals is None:
        return ""
    counts = {"stages": totals.stages, "epochs": totals.epochs, "steps": totals.steps, "images seen": totals.images}
    return "total: " + ", ".join(f"{_count(count)} {what}" for what, count in counts.items())


def short_schedule(schedule: dict[str, Any]) -> str:
    """A schedule with the main numbers, as papers print it."""
    match schedule["name"]:
        case "cyclic":
            return f"cyclic {number(schedule['base_lr'])}..{number(schedule['max_lr'])}, {schedule['step_size']}"
        case "reduce_on_plateau":
            return f"plateau x{number(schedule['factor'])}, {schedule['patience']}"
    rate = schedule.get("learning_rate")
    return f"{schedule['name']} {number(rate)}" if rate else str(schedule["name"])


def schedules_in_full(stages: Iterable[PlanStageView]) -> list[str]:
    """Each different schedule once, with all its numbers."""
    lines: dict[str, None] = {}
    for stage in stages:
        given = {key: value for key, value in stage.schedule.items() if value is not None and key != "name"}
        if given:
            lines[f"{short_schedule(stage.schedule)}: {_listed(given)}"] = None
    return list(lines)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {number(value)}" for key, value in values.items())


def number(value: object) -> str:
    """A number as papers print it.

    >>> number(1e-4), number(0.31622), number(4686)
    ('1e-4', '0.316', '4686')
    """
    if not isinstance(value, float):
        return str(value)
    if value and abs(value) < 0.01:
        digits, _, power = f"{value:.{ROUNDED - 1}e}".partition("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:.{ROUNDED}g}"


def _headline(published: Published | None) -> str:
    """The main published result: test accuracy if there is one, otherwise the best validation accuracy."""
    if published is None:
        return "-"
    if published.test_accuracy is not None:
        return f"{_percent(published.test_accuracy)} % test"
    best = published.best_val_accuracy if published.best_val_accuracy is not None else published.val_accuracy
    return f"{_percent(best)} % val" if best is not None else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}".rstrip("0").rstrip(".")


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"
