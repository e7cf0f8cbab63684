"""Decides from two specs what a job takes from a checkpoint of another job. Pure functions."""

from __future__ import annotations

from typing import Any

from baton.domain.errors import FieldError, SpecError
from baton.domain.message_base import Message, Position
from baton.domain.scalars import Count
from baton.domain.spec import CyclicSchedule, DatasetSpec, JobSpec, StageSpec

_OF_STAGE = ("image_size", "validation_image_size", "batch_size", "steps_per_epoch", "augmentation")
_SHAPES = ("name", "width", "options")


class Start(Message):
    """What a job takes from the checkpoint of another job. A grant contains it.

    `job`, `name`: the other job. `global_step`: of the checkpoint in the other job. `fence`: a checkpoint of this job
    is a copy if its fencing token is not greater. `keeps_position`: training continues at the position of the
    checkpoint. Otherwise it starts at the first stage, with the weights, and with the optimizer's state if that fits.
    `keeps_schedule`: the learning rate schedule continues too. Otherwise it starts again, with `learning_rate` (None:
    the rate of the checkpoint). `why`: the reason if the position is not kept, such as the changed fields.
    """

    job: str
    name: str
    global_step: Count
    fence: Count
    keeps_position: bool
    keeps_schedule: bool = False
    learning_rate: float | None = None
    why: str = ""


def check_network(before: JobSpec, after: JobSpec) -> None:
    """Raise SpecError if the specs have different networks, because the weights of one do not fit the other."""
    for field in _SHAPES:
        old, new = getattr(before.network, field), getattr(after.network, field)
        if old != new:
            text = f"a job that starts from another job must have the network of that job: {old!r}, not {new!r}"
            raise SpecError([FieldError(f"network.{field}", text)])


def changed(before: JobSpec, after: JobSpec, at: Position) -> list[str]:
    """The changed fields on which a position of `before` depends. Empty: the position is valid in `after` too.

    A position depends on the data, the seed, the kind of optimizer, and the stages up to the current one. It does not
    depend on later epochs and stages, or on the learning rate.
    """
    found = ["seed"] if before.seed != after.seed else []
    found += [f"dataset.{name}" for name in _differing(before.dataset, after.dataset, DatasetSpec.model_fields)]
    found += [f"network.{name}" for name in _differing(before.network, after.network, ("classes",))]
    found += [f"optimizer.{name}" for name in _differing(before.optimizer, after.optimizer, ("name", "momentum"))]
    if at.stage >= len(after.stages):
        return [*found, "stages"]
    for number in range(at.stage + 1):
        one, other = before.stages[number], after.stages[number]
        found += [f"stages.{number}.{name}" for name in _differing(one, other, _OF_STAGE)]
        if not _fits(one, other, at if number == at.stage else None):
            found.append(f"stages.{number}.epochs")
    return found


def _differing(one: Any, other: Any, names: Any) -> list[str]:
    # `on_change` only says what to do if the data set changes: it does not affect what was trained.
    return [name for name in names if name != "on_change" and getattr(one, name) != getattr(other, name)]


def _fits(before: StageSpec, after: StageSpec, at: Position | None) -> bool:
    """Whether the epochs of a stage fit. `at`: the position, in the current stage."""
    if at is None:
        return before.epochs == after.epochs
    return at.epoch < after.epochs or (at.epoch == after.epochs and at.step == 0)


def check_left(after: JobSpec, at: Position) -> None:
    """Raise SpecError if nothing is left to train at this position."""
    last = len(after.stages) - 1
    if at.stage == last and at.epoch >= after.stages[last].epochs:
        text = f"nothing is left to train: the checkpoint is at the end of epoch {at.epoch} of the last stage"
        raise SpecError([FieldError(f"stages.{last}.epochs", f"{text}; set more epochs, or add a stage to `stages`")])


def keeps_schedule(before: JobSpec, after: JobSpec, stage: int) -> bool:
    """Whether the schedule of this stage is the same in both specs, with the same learning rate at its start."""
    one, other = before.stages[stage].schedule, after.stages[stage].schedule
    own = isinstance(other, CyclicSchedule) or other.learning_rate is not None
    return one == other and (own or before.optimizer.learning_rate == after.optimizer.learning_rate)
