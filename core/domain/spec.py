"""The job spec: what a user asks for, validated as a whole before anything is recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from core.domain.catalog import AUGMENTATIONS, DATASETS, NETWORKS
from core.domain.errors import SpecError
from core.domain.queues import QUEUE
from core.domain.validation import DURATION_PATTERN, NUMBER, WHOLE, FieldValueError, Model, field_errors, parse_duration

MAX_IMAGE_SIZE = 1024
_STEPS = re.compile(r"(\d+)\s*steps?")
LABEL = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"


def _one_of(names: Iterable[str], what: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"unknown {what} {value!r}; known: {', '.join(names)}")
        return value

    return BeforeValidator(check)


def _named(names: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(names)})


_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN}
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, _DURATION_SCHEMA]}),
]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False), NUMBER]
Fraction = Annotated[float, Field(gt=0, lt=1), NUMBER]
ImageSize = Annotated[int, Field(ge=8, le=MAX_IMAGE_SIZE), WHOLE]


class NetworkSpec(Model):
    """Which network, how wide (`width` multiplies every filter count) and for how many classes (None: the data's)."""

    name: Annotated[str, _one_of(NETWORKS, "network"), _named(NETWORKS)]
    width: Annotated[float, Field(gt=0, le=8), NUMBER] = 1.0
    classes: Annotated[int, Field(ge=2, le=100_000), WHOLE] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0


class SplitFractions(Model):
    """A stratified division of the training images. `test`: a fraction, or the official validation set."""

    train: Fraction
    val: Fraction
    test: Literal["official"] | Fraction | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        total = self.train + self.val + (self.test if isinstance(self.test, float) else 0.0)
        if total > 1 + 1e-9:
            raise ValueError(f"the parts add up to {total:g}, more than 1")
        return self


def _known_split(value: object) -> object:
    if value == "official" or isinstance(value, SplitFractions):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be official, or fractions such as {train: 0.8, val: 0.2, test: official}")
    return SplitFractions.model_validate(value)


class DatasetSpec(Model):
    """Which images. `classes` and `per_class` take the first classes in sorted order and the first images of each."""

    name: Annotated[str, _one_of(DATASETS, "data set"), _named(DATASETS)]
    path: str | None = Field(default=None, min_length=1)
    split: Annotated[Literal["official"] | SplitFractions, BeforeValidator(_known_split)] | None = None
    classes: Annotated[int, Field(ge=2), WHOLE] | None = None
    per_class: Annotated[int, Field(ge=1), WHOLE] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        info = DATASETS[self.name]
        if info.needs_path and self.path is None:
            raise FieldValueError("path", f"data set {self.name} needs the path of its directory on the worker")
        if not info.needs_path and self.path is not None:
            raise FieldValueError("path", f"data set {self.name} comes with Baton and takes no path")
        if info.classes is not None and self.classes is not None and self.classes > info.classes:
            raise FieldValueError("classes", f"data set {self.name} has {info.classes} classes")
        return self


class OptimizerSpec(Model):
    """Optimizer of the whole job; its state carries over from stage to stage."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: Rate = 1e-3
    epsilon: Annotated[float, Field(gt=0, le=1), NUMBER] = 1e-7
    momentum: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0


class ConstantSchedule(Model):
    """The learning rate stays what it was; `learning_rate` sets it at the start of the stage."""

    name: Literal["constant"] = "constant"
    learning_rate: Rate | None = None


class PlateauSchedule(Model):
    """keras.callbacks.ReduceLROnPlateau, fresh at each stage; `learning_rate` sets the rate at its start."""

    name: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    monitor: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_loss"
    factor: Fraction = math.sqrt(0.1)
    patience: Annotated[int, Field(ge=0), WHOLE] = 5
    cooldown: Annotated[int, Field(ge=0), WHOLE] = 0
    min_delta: Annotated[float, Field(ge=0), NUMBER] = 1e-4
    min_lr: Annotated[float, Field(ge=0), NUMBER] = 0.5e-6
    learning_rate: Rate | None = None


class CyclicSchedule(Model):
    """Smith's CyclicLR, moved every step, restarted at each stage. `step_size`: steps of half a cycle."""

    name: Literal["cyclic"] = "cyclic"
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular2"
    base_lr: Rate = 1e-4
    max_lr: Rate = 6e-4
    step_size: Annotated[int, Field(ge=1), WHOLE] = 2000
    gamma: Annotated[float, Field(gt=0, le=1), NUMBER] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_lr < self.base_lr:
            raise FieldValueError("max_lr", f"must be at least base_lr ({self.base_lr:g})")
        return self


Schedule = Annotated[ConstantSchedule | PlateauSchedule | CyclicSchedule, Field(discriminator="name")]


class StageSpec(Model):
    """One stage. An epoch is `steps_per_epoch` batches (None: as many as fit the training images)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")] | None = None
    image_size: ImageSize = 64
    validation_image_size: ImageSize | None = None
    batch_size: Annotated[int, Field(ge=1, le=65_536), WHOLE] = 128
    epochs: Annotated[int, Field(ge=1, le=100_000), WHOLE]
    steps_per_epoch: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = None
    augmentation: Annotated[str, _one_of(AUGMENTATIONS, "augmentation"), _named(AUGMENTATIONS)] = "none"
    schedule: Schedule = ConstantSchedule()
    start_from: Literal["latest", "best"] = "latest"


class EverySteps(Model):
    """A checkpoint each so many steps."""

    steps: Annotated[int, Field(ge=1), WHOLE]


class EverySeconds(Model):
    """A checkpoint each so many seconds."""

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]


def _parse_cadence(value: object) -> object:
    if value == "auto" or isinstance(value, EverySteps | EverySeconds):
        return value
    if isinstance(value, str) and (match := _STEPS.fullmatch(value.strip())):
        return EverySteps(steps=max(1, int(match[1])))
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise ValueError("must be auto, a number of steps such as '500 steps', or a duration such as 60s") from None
    if not 1 <= seconds < math.inf:
        raise ValueError("must be at least 1s")
    return EverySeconds(seconds=seconds)


def _show_cadence(value: object) -> object:
    match value:
        case EverySteps(steps=n):
            return f"{n} steps"
        case EverySeconds(seconds=s):
            return f"{s:g}s"
    return value


_CADENCE_SCHEMA = {
    "anyOf": [
        {"type": "string", "enum": ["auto"]},
        {"type": "string", "pattern": r"^[0-9]{1,15} steps?$"},
        _DURATION_SCHEMA,
        {"type": "number", "minimum": 1},
    ]
}
Cadence = Annotated[
    Literal["auto"] | EverySteps | EverySeconds,
    BeforeValidator(_parse_cadence),
    PlainSerializer(_show_cadence),
    WithJsonSchema(_CADENCE_SCHEMA),
]


class CheckpointSpec(Model):
    """When to save the training state, and how many checkpoints to keep beside the best."""

    every: Cadence = "auto"
    keep: Annotated[int, Field(ge=1, le=1000), WHOLE] = 3


class RetrySpec(Model):
    """How often to try again. `backoff` in seconds doubles with each failure."""

    max_failures: Annotated[int, Field(ge=0, le=1000), WHOLE] = 3
    max_attempts_without_progress: Annotated[int, Field(ge=1, le=1000), WHOLE] = 5
    backoff: Seconds = 30.0


def _label(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(LABEL, value):
        raise ValueError("labels take 1 to 63 letters, digits, dots, dashes, slashes and underscores")
    return value


Label = Annotated[str, BeforeValidator(_label), WithJsonSchema({"type": "string", "pattern": f"^{LABEL}$"})]


class JobSpec(Model):
    """What a user asks for. The same seed and spec give the same bits on the same kind of machine."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    network: NetworkSpec
    dataset: DatasetSpec
    seed: Annotated[int, Field(ge=0, lt=2**31), WHOLE] = 101
    precision: Literal["float32", "bfloat16"] = "float32"
    deterministic: StrictBool = True
    optimizer: OptimizerSpec = OptimizerSpec()
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=100)]
    checkpoint: CheckpointSpec = CheckpointSpec()
    retry: RetrySpec = RetrySpec()
    queue: Annotated[str, Field(pattern=QUEUE)] = "default"
    priority: Literal["high", "normal", "low"] = "normal"
    labels: Annotated[dict[Label, Label], Field(max_length=32)] = Field(default_factory=dict)

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    @model_validator(mode="after")
    def _sizes_fit_network(self) -> Self:
        multiple = NETWORKS[self.network.name].size_multiple
        for k, stage in enumerate(self.stages):
            for field in ("image_size", "validation_image_size"):
                size = getattr(stage, field)
                if size is not None and size % multiple:
                    message = f"must be a multiple of {multiple} for {self.network.name}, not {size}"
                    raise FieldValueError(f"stages.{k}.{field}", message)
        return self

    @model_validator(mode="after")
    def _first_stage_has_no_best(self) -> Self:
        if self.stages[0].start_from == "best":
            raise FieldValueError("stages.0.start_from", "the first stage has no best model before it")
        return self


def parse_spec(data: object) -> JobSpec:
    """A checked spec from decoded YAML or JSON.

    Raises:
        SpecError: with one entry for each field that is wrong.
    """
    try:
        return JobSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(field_errors(error)) from None


def dump_spec(spec: JobSpec) -> dict[str, Any]:
    """The spec as JSON data that `parse_spec` reads back to an equal spec."""
    return spec.model_dump(mode="json", exclude_none=True)
