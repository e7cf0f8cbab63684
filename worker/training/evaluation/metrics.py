"""The metrics of a set: accuracy, precision, recall, F1, confusion matrix, best and worst classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from baton.domain.evaluation import Averages, ClassResult, Evaluation, SetResult
from worker.training.evaluation.answers import Answers

LISTED = 10
_SHORT = {"validation": "val", "test": "test"}


def class_names(names: Sequence[str], outputs: int) -> tuple[str, ...]:
    """A name for each output of the network. The network may have more outputs than the data has classes."""
    return (*names, *(f"class {label}" for label in range(len(names), outputs)))


def evaluated(answers: Answers, names: Sequence[str], loss: float) -> SetResult:
    """All metrics of one set. Precision, recall and F1 are 0 if the formula gives 0 / 0."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = list(range(len(names)))
    confusion = confusion_matrix(answers.labels, answers.predicted, labels=labels)
    columns = precision_recall_fscore_support(answers.labels, answers.predicted, labels=labels, zero_division=0.0)
    classes = _classes(names, np.asarray(columns), confusion.sum(axis=0))
    present = [c for c in classes if c.images]
    best, worst = _best_and_worst(present)
    return SetResult(
        images=len(answers),
        loss=loss if math.isfinite(loss) else None,
        accuracy=float(answers.right.mean()),
        top5_accuracy=float(answers.among_top.mean()),
        macro=Averages(**{name: float(np.mean([getattr(c, name) for c in present])) for name in Averages.model_fields}),
        classes=tuple(classes),
        best=best,
        worst=worst,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def _classes(names: Sequence[str], columns: NDArray[np.float64], predicted: NDArray[np.int64]) -> list[ClassResult]:
    return [
        ClassResult(
            label=label,
            name=name,
            images=int(images),
            predicted=int(predicted[label]),
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
        )
        for label, (name, (precision, recall, f1, images)) in enumerate(zip(names, columns.T, strict=True))
    ]


def _best_and_worst(classes: Sequence[ClassResult]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The best and the worst classes by F1. Each list has at most LISTED classes, and at most half of all classes."""
    order = [c.label for c in sorted(classes, key=lambda c: (-c.f1, -c.recall, c.label))]
    many = min(LISTED, len(order) // 2)
    return tuple(order[:many]), tuple(order[::-1][:many])


def main_numbers(evaluation: Evaluation) -> dict[str, float]:
    """The numbers in a job's results: val_accuracy, val_top5, val_loss, val_f1, and the same of the test set."""
    numbers: dict[str, float] = {}
    for name, found in evaluation.sets.items():
        loss = math.nan if found.loss is None else found.loss
        values = {"accuracy": found.accuracy, "top5": found.top5_accuracy, "loss": loss, "f1": found.macro.f1}
        numbers |= {f"{_SHORT[name]}_{key}": value for key, value in values.items()}
    return numbers
