"""A model's judgement on sets of images: the numbers of an evaluation, and what a report shows beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.domain.evaluation import EvaluatedModel, Evaluation
from core.domain.spec import JobSpec
from worker.progress import advanced
from worker.training.data import ImageData, Split
from worker.training.engine import Engine, Score
from worker.training.evaluation import Answers, class_names, evaluated
from worker.training.feeding import in_order

EVALUATION_BATCH = 256


@dataclass(frozen=True, eq=False)
class Judged:
    """One set of images with a network's answers to them; in the score the loss has the regularisation in it."""

    split: Split
    score: Score
    answers: Answers


def judge(engine: Engine, split: Split, between: Callable[[], None]) -> Judged:
    """What the engine's network says of a split; `between` is called before each batch and may raise to stop."""

    def at_batch() -> None:
        advanced()
        between()

    size = min(EVALUATION_BATCH, len(split))
    return Judged(split, *engine.examine(in_order(split, size, at_batch, engine.hold(split.images)), size))


def judge_all(engine: Engine, data: ImageData, between: Callable[[], None]) -> dict[str, Judged]:
    """The same of all sets that did not train, by their names in an evaluation."""
    splits = {"validation": data.val} | ({"test": data.test} if data.test is not None else {})
    return {name: judge(engine, split, between) for name, split in splits.items()}


def make_evaluation(
    spec: JobSpec, model: EvaluatedModel, names: tuple[str, ...], outputs: int, sets: Mapping[str, Judged]
) -> Evaluation:
    """The file's content: nothing in it depends on when or where it was made."""
    named = class_names(names, outputs)
    return Evaluation(
        job=spec.name,
        network=spec.network.name,
        dataset=spec.dataset.name,
        model=model,
        sets={name: evaluated(j.answers, named, j.score.loss) for name, j in sets.items()},
    )


def evaluation_size(spec: JobSpec, stage: int) -> int:
    """Pixels a side of the images that a stage, counted from 1, is validated on."""
    found = spec.stages[stage - 1]
    return found.judged_at
