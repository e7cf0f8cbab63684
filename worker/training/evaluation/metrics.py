"""From answers to numbers: accuracy, precision, recall, F1, confusion matrix, best and worst classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from baton.domain.evaluation import Averages, ClassResult, Evaluation, SetResult
from worker.training.evaluation.answers import Answers

LISTED = 10
_SHORT = {"validation": "val", "test": "test"}


def class_names(names: Sequence[str], outputs: int) -> tuple[str, ...]:
    """A name for each output of the network, which may have more than the data has classes."""
    return (*names, *(f"class {label}" for label in range(len(names), outputs)))


def evaluated(answers: Answers, names: Sequence[str], loss: float) -> SetResult:
    """All numbers of one set. Where nothing is divided by nothing, precision, recall and F1 are 0."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = list(range(len(names)))
    confusion = confusion_matrix(answers.labels, answers.predicted, labels=labels)
    columns = precision_recall_fscore_support(answers.labels, answers.predicted, labels=labels, zero_division=0.0)
    classes = _classes(names, np.asarray(columns), confusion.sum(axis=0))
    present = [c for c in classes if c.images]
    best, worst = _both_ends(present)
    return SetResult(
        images=len(answers),
        loss=loss if math.isfinite(loss) else None,
        accuracy=float(answers.right.mean()),
        top5_accuracy=float(answers.among_top.mean()),
        macro=_averages(present),
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


def _averages(classes: Sequence[ClassResult]) -> Averages:
    return Averages(**{name: float(np.mean([getattr(c, name) for c in classes])) for name in Averages.model_fields})


def _both_ends(classes: Sequence[ClassResult]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The best and the worst by F1: at most LISTED each, and at most half of all classes, so that none is both."""
    order = [c.label for c in sorted(classes, key=lambda c: (-c.f1, -c.recall, c.label))]
    many = min(LISTED, len(order) // 2)
    return tuple(order[:many]), tuple(order[::-1][:many])


def main_numbers(evaluation: Evaluation) -> dict[str, float]:
    """What goes into a job's results: val_accuracy, val_top5, val_loss, val_f1, and the same of the test set."""
    return {
        f"{_SHORT[name]}_{key}": value for name, found in evaluation.sets.items() for key, value in _main(found).items()
    }


def _main(found: SetResult) -> Mapping[str, float]:
    loss = math.nan if found.loss is None else found.loss
    return {"accuracy": found.accuracy, "top5": found.top5_accuracy, "loss": loss, "f1": found.macro.f1}
