"""Draws the loss curve of a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from baton.domain.wire import EpochRow

TRAINING, VALIDATION, KILL = "#1f77b4", "#d95f02", "#b2182b"


@dataclass(frozen=True)
class Span:
    """A stage on the epoch axis, from the end of the previous stage to the end of the last epoch of this stage."""

    stage: int
    pixels: int | None
    first: float
    last: float


def stage_spans(rows: Sequence[EpochRow]) -> list[Span]:
    """The span of each stage on the epoch axis."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.stage)]
    return [Span(g[0].stage, g[0].image_size, g[0].epoch - 1, g[-1].epoch) for g in groups]


def epoch_at(rows: Sequence[EpochRow], global_step: int) -> float:
    """The position of a step on the epoch axis, where 1.5 is the middle of epoch 2."""
    before = 0
    for row in rows:
        if global_step <= row.global_step:
            return row.epoch - 1 + (global_step - before) / (row.global_step - before)
        before = row.global_step
    return float(rows[-1].epoch)


def draw(rows: Sequence[EpochRow], title: str, kills: Sequence[int], target: Path) -> Path:
    """Writes a PNG of loss and accuracy by epoch. Marks the stage boundaries, and the steps in `kills`."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 6.5), dpi=150, layout="constrained")
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title)
    _curves(loss, rows, ("loss", "val_loss"), "loss (cross-entropy + L2, nats)")
    _curves(accuracy, rows, ("accuracy", "val_accuracy"), "accuracy (share of images)")
    accuracy.set_xlabel("epoch")
    accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
    places = [epoch_at(rows, step) for step in kills]
    for axes in (loss, accuracy):
        _mark(axes, rows, places, labelled=axes is loss)
        axes.legend(loc="best", framealpha=0.9)
    figure.savefig(target)
    return target


def _curves(axes: Any, rows: Sequence[EpochRow], names: tuple[str, str], label: str) -> None:
    epochs = [row.epoch for row in rows]
    for name, shown, color, marker in zip(
        names, ("training", "validation"), (TRAINING, VALIDATION), ("o", "s"), strict=True
    ):
        axes.plot(epochs, [row.metrics[name] for row in rows], marker=marker, markersize=4, color=color, label=shown)
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.3)
    axes.set_xlim(0, epochs[-1] + 0.3)


def _mark(axes: Any, rows: Sequence[EpochRow], kills: Sequence[float], *, labelled: bool) -> None:
    for span in stage_spans(rows):
        if span.first > 0:
            axes.axvline(span.first, color="0.45", linestyle="--", linewidth=1)
        if labelled:
            place = ((span.first + span.last) / 2, 1.01)
            text = f"stage {span.stage}: {span.pixels} px"
            axes.annotate(text, place, xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    for number, killed in enumerate(kills):
        axes.axvline(killed, color=KILL, linewidth=1.6, label=None if number else "worker killed")
