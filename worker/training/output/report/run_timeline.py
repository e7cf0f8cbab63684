"""The timeline of a run in epochs: stages, interruptions, learning rates. Its functions are pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from baton.domain.spec import CyclicSchedule, JobSpec, parse_classifier
from baton.domain.views import AttemptView
from baton.domain.wire import ClassifierRow
from worker.extensions import installed
from worker.training.output.report.inputs import Facts
from worker.training.state.schedules import make_schedule
from worker.training.state.step_plan import StepPlan

# Number of points that are drawn for a stage whose rate changes at every step.
_POINTS = 400
INTERRUPTED = frozenset({"preempted", "paused", "lost", "failed"})
"""The states of attempts after which the job was not finished."""


@dataclass(frozen=True)
class Band:
    """A stage on the epoch axis, from `begin` to `end`. `published`: accuracy that the plan's source reports for it."""

    stage: int
    name: str
    begin: float
    end: float
    published: float | None


@dataclass(frozen=True)
class Mark:
    """The end of an attempt before the end of the job. `epoch`: epochs done at that time, with a fraction."""

    epoch: float
    attempt: int
    kind: str
    step: int | None


@dataclass(frozen=True)
class RunTimeline:
    """The whole timeline. `rates`: learning rates as (epochs done, rate)."""

    spec: JobSpec
    plan: StepPlan
    rows: tuple[ClassifierRow, ...]
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    rates: tuple[tuple[float, float], ...]


def timeline_of(facts: Facts) -> RunTimeline:
    """The timeline. Without the service's attempts, interruptions are placed between two rows of the history."""
    spec = parse_classifier(facts.spec, installed())
    plan = StepPlan(spec, facts.steps)
    marks = tuple(_recorded_marks(plan, facts.attempts) if facts.attempts else _inferred_marks(facts.history))
    bands = tuple(_bands(plan, len(facts.history)))
    return RunTimeline(spec, plan, facts.history, bands, marks, tuple(_rates(plan, facts.history)))


def epochs_at(plan: StepPlan, global_step: int) -> float:
    """Epochs done after `global_step` steps of the whole job."""
    for stage, steps in enumerate(plan.steps):
        into = global_step - plan.start_of(stage).global_step
        if into <= steps * plan.spec.stages[stage].epochs:
            return plan.epochs_before(stage) + max(0, into) / steps
    return float(plan.spec.total_epochs)


def _bands(plan: StepPlan, done: int) -> Iterator[Band]:
    for stage, spec in enumerate(plan.spec.stages):
        begin = plan.epochs_before(stage)
        found = spec.published
        shares = (found.best_val_accuracy, found.val_accuracy) if found else ()
        if begin < max(done, 1):
            best = next((share for share in shares if share is not None), None)
            yield Band(stage + 1, plan.stage_name(stage), begin, min(begin + spec.epochs, max(done, 1)), best)


def _recorded_marks(plan: StepPlan, attempts: Sequence[AttemptView]) -> Iterator[Mark]:
    for attempt in attempts:
        if attempt.state in INTERRUPTED and attempt.end_step is not None:
            yield Mark(epochs_at(plan, attempt.end_step), attempt.attempt, str(attempt.state), attempt.end_step)


def _inferred_marks(rows: Sequence[ClassifierRow]) -> Iterator[Mark]:
    for before, after in pairwise(rows):
        if after.attempt != before.attempt:
            yield Mark(float(before.epoch), before.attempt, "interrupted", None)


def _rates(plan: StepPlan, rows: Sequence[ClassifierRow]) -> Iterator[tuple[float, float]]:
    for row in rows:
        schedule = plan.spec.stages[row.stage - 1].schedule
        if isinstance(schedule, CyclicSchedule):
            yield from _within(plan, row, schedule)
        else:
            yield (row.epoch - 1, row.learning_rate)
            yield (row.epoch, row.learning_rate)


def _within(plan: StepPlan, row: ClassifierRow, schedule: CyclicSchedule) -> Iterator[tuple[float, float]]:
    steps, epochs = plan.steps[row.stage - 1], plan.spec.stages[row.stage - 1].epochs
    moving = make_schedule(schedule, schedule.base_lr)
    stride = max(1, steps * epochs // _POINTS)
    for step in range(0, steps, stride):
        yield (row.epoch - 1 + step / steps, moving.rate((row.stage_epoch - 1) * steps + step))
