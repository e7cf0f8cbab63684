"""Evaluates a network on splits of the data, for validation, for the final evaluation and for reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import tensorflow as tf

from baton.domain.evaluation import EvaluatedModel, Evaluation, KerasFile
from baton.domain.spec import JobSpec
from worker.ipc.progress import advanced
from worker.training.data import ImageData, Split
from worker.training.evaluation import Answers, class_names, evaluated
from worker.training.input.source import in_order
from worker.training.step.engine import Engine, Score
from worker.training.step.evaluation_batches import EvaluationBatches
from worker.training.step.memory import out_of_memory


@dataclass(frozen=True, eq=False)
class SplitEvaluation:
    """The network's answers to one split, and its score. The loss includes the regularisation."""

    split: Split
    score: Score
    answers: Answers


def evaluate_split(
    engine: Engine, split: Split, between: Callable[[], None], batches: EvaluationBatches, stage: int
) -> SplitEvaluation:
    """Evaluates the engine's network on a split. `stage`: the network's stage, counted from 1.

    `between` is called before each batch and may raise to stop. If the device's memory is full, the whole split is
    evaluated again with half the batch size, so that the sums do not depend on the batch at which the memory was full.

    Raises:
        JobFailure: out_of_memory, if not even one image fits.
    """

    def at_batch() -> None:
        advanced()
        between()

    while True:
        size = min(batches.size(stage, split.size), len(split))
        try:
            return SplitEvaluation(
                split, *engine.examine(in_order(split, size, at_batch, engine.hold(split.images)), size)
            )
        except tf.errors.OpError as error:
            if not out_of_memory(error):
                raise
            full = error.with_traceback(None)  # its frames would keep tensors alive
        batches.halve(split.size, size, full)


def evaluate_splits(
    engine: Engine, data: ImageData, between: Callable[[], None], batches: EvaluationBatches, stage: int
) -> dict[str, SplitEvaluation]:
    """Evaluates the network on the validation and the test images. Keys: the names in an evaluation."""
    splits = {"validation": data.val} | ({"test": data.test} if data.test is not None else {})
    return {name: evaluate_split(engine, split, between, batches, stage) for name, split in splits.items()}


def make_evaluation(
    spec: JobSpec, model: EvaluatedModel, names: tuple[str, ...], outputs: int, sets: Mapping[str, SplitEvaluation]
) -> Evaluation:
    """The content of evaluation.json. It does not depend on when or where it was made."""
    named = class_names(names, outputs)
    return Evaluation(
        job=spec.name,
        network=spec.network.name,
        dataset=spec.dataset.name,
        model=model,
        sets={name: evaluated(j.answers, named, j.score.loss) for name, j in sets.items()},
        keras=KerasFile(written_by=keras.__version__),
    )


def evaluation_size(spec: JobSpec, stage: int) -> int:
    """Width and height in pixels of the images that a stage, counted from 1, is validated on."""
    return spec.stages[stage - 1].judged_at
