"""The tables of a report, as rows of text for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from baton.domain.evaluation import KERAS_SINCE, ClassResult, SetResult
from baton.domain.goodput import Bucket
from baton.domain.spec import (
    ConstantSchedule,
    CyclicSchedule,
    PlateauSchedule,
    Published,
    Schedule,
    StageSpec,
)
from baton.domain.views import AttemptView, JobView
from baton.domain.wire import ClassifierRow
from worker.training.output.report.augmented import policy_title
from worker.training.output.report.formatting import ABSENT, duration, moment, number, percent
from worker.training.output.report.run_timeline import RunTimeline

CONFUSIONS = 10


@dataclass(frozen=True)
class Table:
    """A table of texts. `numbers`: the columns that are aligned to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]], *text: int) -> Table:
    """Makes a table. `text`: the columns with words. All other columns contain numbers, aligned to the right."""
    return Table(tuple(columns), tuple(rows), frozenset(range(len(columns))) - frozenset(text))


def results(sets: dict[str, SetResult], published: Published | None) -> Table:
    """The main numbers of each set, and the final numbers that the plan's source reports."""
    columns = ("set", "images", "top-1", "top-5", "loss", "precision", "recall", "F1", "published top-1")
    rows = (
        (
            name,
            f"{found.images:,}",
            percent(found.accuracy),
            percent(found.top5_accuracy),
            number(found.loss),
            percent(found.macro.precision),
            percent(found.macro.recall),
            percent(found.macro.f1),
            percent(_published(name, published)),
        )
        for name, found in sets.items()
    )
    return _table(columns, rows, 0)


def _published(name: str, published: Published | None) -> float | None:
    if published is None:
        return None
    if name == "test":
        return published.test_accuracy
    return published.val_accuracy if published.best_val_accuracy is None else published.best_val_accuracy


def stages(timeline: RunTimeline) -> Table:
    """Each stage of the spec, its accuracies, and those that the plan's source reports."""
    columns = (
        "stage", "name", "pixels", "batch", "epochs", "steps per epoch", "final", "published", "best", "published",
        "augmentation", "schedule",
    )  # fmt: skip
    return _table(columns, [_stage(timeline, k, s) for k, s in enumerate(timeline.spec.stages)], 1, 10, 11)


def _stage(timeline: RunTimeline, number: int, stage: StageSpec) -> tuple[str, ...]:
    rows = [row for row in timeline.rows if row.stage == number + 1]
    found = stage.published or Published()
    size = stage.validation_image_size
    return (
        str(number + 1),
        timeline.plan.stage_name(number),
        f"{stage.image_size}" + (f" (val. {size})" if size not in {None, stage.image_size} else ""),
        str(stage.batch_size),
        f"{len(rows)}/{stage.epochs}",
        f"{timeline.plan.steps[number]:,}",
        percent(rows[-1].val_accuracy) if rows else ABSENT,
        percent(found.val_accuracy),
        percent(max(row.val_accuracy for row in rows)) if rows else ABSENT,
        percent(found.best_val_accuracy),
        policy_title(stage.augmentation),
        _schedule(stage.schedule),
    )


def _schedule(schedule: Schedule) -> str:
    match schedule:
        case CyclicSchedule(mode=mode, base_lr=low, max_lr=high, step_size=size):
            return f"{mode} {low:g} to {high:g}, half cycle {size:,}"
        case PlateauSchedule(monitor=monitor, factor=factor, patience=patience):
            return f"plateau ({monitor}): x {factor:.3g} after {patience}"
        case ConstantSchedule(learning_rate=rate):
            return "constant" if rate is None else f"constant {rate:g}"


def splits(counts: dict[str, tuple[int, ...]]) -> Table:
    """Images of each split, in total and per class."""
    columns = ("split", "images", "classes", "fewest images per class", "most")
    rows = (
        (name, f"{sum(n):,}", str(sum(k > 0 for k in n)), f"{min(n):,}", f"{max(n):,}") for name, n in counts.items()
    )
    return _table(columns, rows, 0)


def classes(found: Sequence[ClassResult]) -> Table:
    """Classes with their numbers, in the given order."""
    columns = ("label", "class", "images", "precision", "recall", "F1")
    rows = (
        (str(c.label), c.name, f"{c.images:,}", percent(c.precision, 1), percent(c.recall, 1), percent(c.f1, 1))
        for c in found
    )
    return _table(columns, rows, 1)


def confusions(result: SetResult) -> Table:
    """The most frequent mistakes."""
    counts = np.array(result.confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [(int(true), int(predicted)) for true, predicted in (divmod(int(place), len(counts)) for place in order)]
    names = [c.name for c in result.classes]
    rows = (
        (
            names[true],
            names[predicted],
            str(counts[true, predicted]),
            percent(counts[true, predicted] / max(1, result.classes[true].images), 1),
        )
        for true, predicted in pairs
        if counts[true, predicted]
    )
    return _table(("true class", "predicted class", "images", "share of the class"), rows, 0, 1)


def attempts(found: Sequence[AttemptView]) -> Table:
    """The attempts of the job."""
    columns = ("attempt", "worker", "state", "reason", "claimed", "steps", "duration", "training")
    rows = (
        (
            str(a.attempt),
            a.worker or ABSENT,
            a.state,
            a.reason or ABSENT,
            moment(a.claimed_at),
            f"{_step(a.start_step)} to {_step(a.end_step)}",
            duration(_duration(a)),
            duration(a.seconds.get(Bucket.TRAINING)),
        )
        for a in found
    )
    return _table(columns, rows, 1, 2, 3, 4)


def _step(step: int | None) -> str:
    return ABSENT if step is None else f"{step:,}"


def _duration(attempt: AttemptView) -> float | None:
    if attempt.claimed_at is None or attempt.finished_at is None:
        return None
    return (attempt.finished_at - attempt.claimed_at).total_seconds()


def goodput(job: JobView) -> Table:
    """The time per activity, the largest first."""
    total = job.goodput.get("total", 0.0)
    parts = sorted(((job.goodput.get(b, 0.0), b.value) for b in Bucket), reverse=True)
    rows = ((name.replace("_", " "), duration(s), percent(s / total, 1)) for s, name in parts if s > 0 and total)
    return _table(("activity", "time", "share"), rows, 0)


def epochs(rows: Sequence[ClassifierRow]) -> Table:
    """The history."""
    columns = (
        "epoch", "stage", "step", "px", "learning rate", "loss", "top-1", "val. loss", "val. top-1", "images/s",
        "attempt",
    )  # fmt: skip
    cells = (
        (
            str(r.epoch),
            str(r.stage),
            f"{r.global_step:,}",
            str(r.image_size),
            number(r.learning_rate, 3),
            number(r.loss),
            percent(r.accuracy),
            number(r.val_loss),
            percent(r.val_accuracy),
            f"{r.images_per_second:,.0f}",
            str(r.attempt),
        )
        for r in rows
    )
    return _table(columns, cells)


def environment(found: dict[str, str]) -> Table:
    """The environment. Together with the spec, it decides the bits of the result."""
    readers = {"models": f"the .keras files need Keras {KERAS_SINCE} or later"} if "keras" in found else {}
    return _table(("what", "value"), list({**found, **readers}.items()), 0, 1)
