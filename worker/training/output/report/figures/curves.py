"""Curves over the epochs: loss, accuracy, learning rate, with stages and interruptions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from worker.training.output.report.figures.canvas import INK, PUBLISHED, TRAINING, VALIDATION, Drawing, blank, drawing
from worker.training.output.report.run_timeline import Mark, RunTimeline

HEIGHT = 3.5
TEXT = "Cross-entropy with regularisation: mean over each epoch's training images, and over all validation images."
# A share of the axis. A stage whose share is smaller gets no label.
_NARROW = 0.035
_LOG_FROM = 20.0
_LINES = {
    "preempted": ("#b455d6", "--"),
    "paused": ("#8a8f98", "--"),
    "lost": ("#e5484d", ":"),
    "failed": ("#e5484d", "-."),
    "interrupted": ("#b455d6", ":"),
}


def loss(timeline: RunTimeline) -> Drawing:
    """Loss of training and validation."""
    figure, axes = _frame(timeline, "loss (nats)")
    values = [(row.loss, row.val_loss) for row in timeline.rows]
    _two(axes, timeline, [v[0] for v in values], [v[1] for v in values])
    finite = [x for pair in values for x in pair if math.isfinite(x) and x > 0]
    if finite and max(finite) > _LOG_FROM * min(finite):
        _logarithmic(axes)
    return _done(figure, axes, "loss", "Loss", TEXT)


def accuracy(timeline: RunTimeline) -> Drawing:
    """Accuracy of training and validation, and the accuracy that the plan's source reports."""
    figure, axes = _frame(timeline, "accuracy (% of images)")
    _two(axes, timeline, [100 * r.accuracy for r in timeline.rows], [100 * r.val_accuracy for r in timeline.rows])
    for k, band in enumerate(b for b in timeline.bands if b.published is not None):
        share, label = 100 * (band.published or 0.0), "published, validation" if k == 0 else None
        axes.plot([band.begin, band.end], [share, share], color=PUBLISHED, linestyle=(0, (5, 2)), label=label)
    axes.set_ylim(bottom=0)
    text = "Share of images whose most probable class is the true one."
    if any(b.published is not None for b in timeline.bands):
        text += " Dashed: the best (else the last) validation accuracy that the plan's source reports for the stage."
    return _done(figure, axes, "accuracy", "Accuracy", text)


def learning_rate(timeline: RunTimeline) -> Drawing:
    """The learning rate of each step."""
    figure, axes = _frame(timeline, "learning rate (per step)")
    rates = [rate for _, rate in timeline.rates]
    axes.plot([epoch for epoch, _ in timeline.rates], rates, color=TRAINING, linewidth=1.3, label="learning rate")
    if rates and min(rates) > 0 and max(rates) > 8 * min(rates):
        _logarithmic(axes)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    return _done(figure, axes, "learning-rate", "Learning rate", "The rate that the stages' schedules gave.")


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_locator(NullLocator())


def _plain(value: float, _place: int | None) -> str:
    return f"{value:g}"


def _frame(timeline: RunTimeline, unit: str) -> tuple[Figure, Axes]:
    figure = blank(HEIGHT)
    axes = figure.add_subplot()
    end = max(1.0, float(len(timeline.rows)))
    axes.set_xlim(0, end)
    axes.set_xlabel("epochs done")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    axes.grid(axis="y")
    _stages(axes, timeline, end)
    _interruptions(axes, timeline.marks)
    return figure, axes


def _stages(axes: Axes, timeline: RunTimeline, end: float) -> None:
    above = axes.get_xaxis_transform()
    for band in timeline.bands:
        if band.stage % 2 == 0:
            axes.axvspan(band.begin, band.end, color=INK, alpha=0.06, linewidth=0)
        if band.begin > 0:
            axes.axvline(band.begin, color=INK, alpha=0.45, linewidth=0.8)
        share = (band.end - band.begin) / end
        if share > _NARROW:
            text = f"stage {band.stage}" if share > 0.13 else str(band.stage)
            axes.text((band.begin + band.end) / 2, 1.02, text, transform=above, ha="center", va="bottom", fontsize=8)


def _interruptions(axes: Axes, marks: Sequence[Mark]) -> None:
    counts: dict[str, int] = {}
    for mark in marks:
        counts[mark.kind] = counts.get(mark.kind, 0) + 1
    for mark in marks:
        color, style = _LINES[mark.kind]
        # Only the first mark of each kind gets a label, so the legend has one entry for each kind.
        count = counts.pop(mark.kind, None)
        label = f"{mark.kind} ({count})" if count else None
        axes.axvline(mark.epoch, color=color, linestyle=style, linewidth=1.2, label=label)


def _two(axes: Axes, timeline: RunTimeline, training: Sequence[float], validation: Sequence[float]) -> None:
    epochs = [row.epoch for row in timeline.rows]
    marker = "o" if len(epochs) < 40 else ""
    for values, color, label in ((training, TRAINING, "training"), (validation, VALIDATION, "validation")):
        # Without clipping, because the last point is on the edge of the axes.
        axes.plot(epochs, values, color=color, marker=marker, markersize=3, linewidth=1.4, label=label, clip_on=False)


def _done(figure: Figure, axes: Axes, name: str, title: str, caption: str) -> Drawing:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return drawing(figure, name, title, caption)
