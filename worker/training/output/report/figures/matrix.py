"""The confusion matrix of one set, with class names and numbers if there is room for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from baton.domain.evaluation import SetResult
from worker.training.output.report.figures.canvas import WIDTH, Drawing, blank, drawing

NAMED, NUMBERED = 30, 12


def confusion(name: str, result: SetResult, names: Sequence[str]) -> Drawing:
    """Values are percentages: each row is divided by the number of images of the class. `names`: short class names."""
    counts = np.array(result.confusion, dtype=np.float64)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = blank(WIDTH * (0.9 if len(names) <= NAMED else 0.84))
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
    axes.set_xlabel("predicted class" if len(names) <= NAMED else "predicted class (label)")
    axes.set_ylabel("true class" if len(names) <= NAMED else "true class (label)")
    _ticks(axes, names)
    if len(names) <= NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.5:
                color = "black" if share > 55 else "white"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=7.5)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("images of the true class (%)")
    caption = f"{result.images:,} images of the {name} set. The diagonal holds the correct predictions."
    return drawing(figure, f"confusion-{name}", f"Confusion matrix, {name}", caption)


def _ticks(axes: Axes, names: Sequence[str]) -> None:
    if len(names) > NAMED:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        return
    size = 8.5 if len(names) <= NUMBERED else 7
    longest = max(map(len, names))
    axes.set_xticks(range(len(names)), names, rotation=90 if longest > 2 else 0, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
