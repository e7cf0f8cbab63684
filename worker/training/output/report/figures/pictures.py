"""Figures of images: predictions for some of them, and training images next to their augmented versions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from numpy.typing import NDArray

from worker.training.evaluation import Answers
from worker.training.output.report.figures.canvas import INK, RIGHT, WIDTH, WRONG, Drawing, blank, drawing
from worker.training.output.report.inputs import Images, Shown

COLUMNS = 4
_SIZE = 7.5
_ROW_INCHES = WIDTH / COLUMNS


def gallery(name: str, shown: Shown, answers: Answers, names: Sequence[str]) -> Drawing:
    """Correct predictions above, wrong ones below. `names`: short class names."""
    right = answers.right[shown.places]
    groups = [("Correct", np.flatnonzero(right), RIGHT), ("Wrong", np.flatnonzero(~right), WRONG)]
    groups = [group for group in groups if len(group[1])]
    rows = [-(-len(members) // COLUMNS) for _, members, _ in groups]
    figure = blank((_ROW_INCHES + 0.32) * sum(rows) + 0.3 * len(rows))
    parts = np.atleast_1d(figure.subfigures(len(groups), 1, height_ratios=rows))  # type: ignore[arg-type]
    for part, (title, members, color), height in zip(parts, groups, rows, strict=True):
        part.suptitle(title, fontsize=10, color=color)
        _answers(part, shown, answers, names, members, height, color)
    caption = (
        f"A random sample of the {name} set. Below each image: the predicted class and its probability (%), and the"
        " true class if it is a different one."
    )
    return drawing(figure, f"predictions-{name}", f"Predictions, {name}", caption)


def _answers(
    part: SubFigure,
    shown: Shown,
    answers: Answers,
    names: Sequence[str],
    members: NDArray[np.int64],
    height: int,
    color: str,
) -> None:
    lines = 1 if answers.right[shown.places[members]].all() else 2
    cells = part.subplots(height, COLUMNS, squeeze=False).ravel()
    for cell in cells:
        _bare(cell, lines)
    for cell, k in zip(cells, members, strict=False):
        place = shown.places[k]
        label, predicted = int(answers.labels[place]), int(answers.predicted[place])
        _picture(cell, shown.images[k])
        _below(cell, 0, f"{names[predicted]} ({100 * float(answers.probabilities[place, 0]):.0f} %)", color)
        if label != predicted:
            _below(cell, 1, f"true: {names[label]}", INK)


def _bare(cell: Axes, lines: int) -> None:
    """Hides the axes, and reserves room for `lines` lines of text below."""
    cell.set_xticks([])
    cell.set_yticks([])
    for spine in cell.spines.values():
        spine.set_visible(False)
    if lines:
        # The layout reserves room for the label of an axis only.
        cell.set_xlabel("\n".join("x" * lines), fontsize=_SIZE, alpha=0.0)


def _below(cell: Axes, line: int, text: str, color: str) -> None:
    offset = (0.0, -3.0 - 1.35 * _SIZE * line)
    written = cell.annotate(
        text, (0.5, 0), offset, "axes fraction", "offset points", ha="center", va="top", fontsize=_SIZE, color=color
    )
    written.set_in_layout(False)


def augmented(number: int, title: str, originals: Images, changed: Images) -> Drawing:
    """First and third column: originals; second and fourth: their augmented versions. Both uint8 [n, size, size, 3]."""
    rows = -(-len(originals) // 2)
    figure = blank(_ROW_INCHES * rows + 0.35)
    cells = figure.subplots(rows, COLUMNS, squeeze=False)
    for cell in cells.ravel():
        _bare(cell, 0)
    for column in range(COLUMNS):
        cells[0, column].set_title("augmented" if column % 2 else "original", fontsize=9)
    for k, (before, after) in enumerate(zip(originals, changed, strict=True)):
        row, column = divmod(k, 2)
        _picture(cells[row, 2 * column], before)
        _picture(cells[row, 2 * column + 1], after)
    caption = "Training images of different classes, each next to one random augmentation of it."
    return drawing(figure, f"augmentation-{number}", f"Augmentation {title}", caption)


def _picture(cell: Axes, image: NDArray[np.uint8]) -> None:
    cell.imshow(image, interpolation="nearest", aspect="equal")
