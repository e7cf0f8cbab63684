"""Copies what a report needs from the training process: numbers and a few dozen images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from baton.domain.evaluation import EvaluatedModel
from baton.domain.spec import dump_spec
from baton.domain.wire import ClassifierRow
from worker.attempt.protocols import Workspace
from worker.training.data import ImageData, Split
from worker.training.environment import describe
from worker.training.evaluation import class_names
from worker.training.output.evaluate_split import SplitEvaluation
from worker.training.output.report.inputs import Facts, ReportInputs, Shown
from worker.training.state.step_plan import StepPlan

RIGHT = WRONG = 12
ORIGINALS = 8
# A random stream separate from those of order, augmentation and splits.
_SHOWN = 4


def gather(
    plan: StepPlan,
    model: EvaluatedModel,
    rows: Sequence[ClassifierRow],
    data: ImageData,
    sets: Mapping[str, SplitEvaluation],
    *,
    outputs: int,
    workspace: Workspace,
    finished: bool,
) -> ReportInputs:
    """Copies everything, so that training can continue at once."""
    facts = Facts(
        spec=dump_spec(plan.spec),
        steps=plan.steps,
        history=tuple(rows),
        environment=describe(workspace.threads, workspace.xla),
        class_names=class_names(data.class_names, outputs),
        splits=_counts(data),
        left_out=tuple(data.left_out.lines()),
        model=model,
        losses={name: judged.score.loss for name, judged in sets.items()},
        finished=finished,
        made_at=datetime.now(UTC),
    )
    answers = {name: judged.answers for name, judged in sets.items()}
    shown = {name: _shown(judged, plan.spec.seed) for name, judged in sets.items()}
    return ReportInputs(facts, answers, shown, _originals(data.train, plan.spec.seed))


def _counts(data: ImageData) -> dict[str, tuple[int, ...]]:
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    classes = len(data.class_names)
    return {
        name: tuple(int(n) for n in np.bincount(split.labels, minlength=classes))
        for name, split in splits.items()
        if split is not None
    }


def _shown(judged: SplitEvaluation, seed: int) -> Shown:
    """A random sample: at most RIGHT images with a correct answer, then at most WRONG with a wrong one."""
    generator = np.random.default_rng([_SHOWN, seed])
    right = judged.answers.right
    places = np.concatenate(
        [_drawn(generator, np.flatnonzero(right), RIGHT), _drawn(generator, np.flatnonzero(~right), WRONG)]
    )
    return Shown(judged.split.take(places), places)


def _drawn(generator: np.random.Generator, places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return np.sort(generator.permutation(places)[:most])


def _originals(train: Split, seed: int) -> NDArray[np.uint8]:
    """One image per class, for at most ORIGINALS classes."""
    generator = np.random.default_rng([_SHOWN, seed])
    order = generator.permutation(len(train))
    _, first = np.unique(train.labels[order], return_index=True)
    return train.take(order[generator.permutation(first)[:ORIGINALS]])
