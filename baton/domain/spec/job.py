"""The job spec, which is validated completely before the job is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from baton.domain.catalog import AUGMENTATIONS, DATASETS, NETWORKS
from baton.domain.errors import SpecError
from baton.domain.extensions import extension
from baton.domain.queues import QUEUE
from baton.domain.spec.dataset import DatasetSpec
from baton.domain.spec.limits import LimitsSpec
from baton.domain.spec.network import NetworkSpec, OptimizerSpec
from baton.domain.spec.notifications import NotifySpec
from baton.domain.spec.policies import CheckpointSpec, RetrySpec
from baton.domain.spec.stage import Published, StageSpec
from baton.domain.spec.versions import ForService, Since, for_worker, needed_version, unused
from baton.domain.validation import WHOLE, FieldValueError, Model, field_errors

LABEL = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"


def _label(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(LABEL, value):
        raise ValueError("labels take 1 to 63 letters, digits, dots, dashes, slashes and underscores")
    return value


def _deterministic(value: object) -> object:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError("must be auto, true or false")
    return value


Label = Annotated[str, BeforeValidator(_label), WithJsonSchema({"type": "string", "pattern": f"^{LABEL}$"})]


class JobSpec(Model):
    """A training job. The same spec and seed give bit-identical results on the same kind of machine."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """The job's name. Names need not be unique: a command uses the newest job with a name."""
    network: NetworkSpec
    """The network to train."""
    dataset: DatasetSpec
    """The images to train on."""
    seed: Annotated[int, Field(ge=0, lt=2**31), WHOLE] = 101
    """Seed of all random values: weights, split, order of the images, augmentation, dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation; with bfloat16 the weights stay float32."""
    deterministic: Annotated[Literal["auto"] | bool, BeforeValidator(_deterministic)] = "auto"
    """Whether to use only operations with bit-identical results; auto: on the CPU, where that costs nothing."""
    augmentation_engine: Literal["auto", "imgaug", "device"] = "auto"
    """imgaug: in processes on the host. device: in the training step. auto: device on a GPU where possible."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """The optimizer of the whole job."""
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=100)]
    """The stages, trained in this order."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """When the training state is saved."""
    limits: Annotated[LimitsSpec, Since(3)] = LimitsSpec()
    """How long an attempt may make no progress, and how long the job may run."""
    retry: Annotated[RetrySpec, ForService] = RetrySpec()
    """How often the job is tried again."""
    notify: Annotated[NotifySpec | None, ForService] = None
    """Which notifications are sent to which targets; left out: the defaults of the service."""
    queue: Annotated[str, Field(pattern=QUEUE), ForService] = "default"
    """The queue: only workers that serve it take the job."""
    priority: Annotated[Literal["high", "normal", "low"], ForService] = "normal"
    """The order of waiting jobs; a running job is never stopped for another."""
    source: Annotated[Annotated[str, Field(max_length=500)] | None, ForService] = None
    """The source of the plan, such as a paper; has no effect on training."""
    published: Published | None = None
    """Results of the finished model that the source reports; has no effect on training."""
    labels: Annotated[dict[Label, Label], Field(max_length=32)] = Field(default_factory=dict)
    """Your own names with values, to filter jobs and to limit their number."""

    @property
    def extensions(self) -> list[str]:
        """The extensions that a worker needs to train it."""
        used = [extension("network", self.network.name)] if self.network.name not in NETWORKS else []
        used += [extension("dataset", self.dataset.name)] if self.dataset.name not in DATASETS else []
        policies = {stage.augmentation for stage in self.stages if isinstance(stage.augmentation, str)}
        return used + [extension("augmentation", name) for name in sorted(policies - {*AUGMENTATIONS})]

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    @model_validator(mode="after")
    def _sizes_fit_network(self) -> Self:
        network = NETWORKS.get(self.network.name)
        multiple = network.size_multiple if network else 1
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


def parse_spec(data: object, extensions: Iterable[str] = ()) -> JobSpec:
    """A validated spec from decoded YAML or JSON. `extensions`: names that it may use in addition to the catalog.

    Raises:
        SpecError: with one entry for each wrong field.

    >>> data = {
    ...     "name": "first",
    ...     "network": {"name": "network-1"},
    ...     "dataset": {"name": "digits"},
    ...     "stages": [{"image_size": 16, "epochs": 3}],
    ... }
    >>> spec = parse_spec(data)
    >>> spec.stages[0].batch_size, spec.checkpoint.every
    (128, 'auto')
    >>> parse_spec({"name": "x"})
    Traceback (most recent call last):
        ...
    baton.domain.errors.SpecError: network: is required; dataset: is required; stages: is required
    """
    try:
        return JobSpec.model_validate(data, context=frozenset(extensions))
    except ValidationError as error:
        raise SpecError(field_errors(error)) from None


def dump_spec(spec: JobSpec) -> dict[str, Any]:
    """The spec as JSON data. `parse_spec` reads it back to an equal spec.

    Omits fields newer than version 1 that have their default, so that older workers can train the job.
    """
    return spec.model_dump(mode="json", exclude_none=True, exclude=unused(spec))


def spec_version(spec: JobSpec) -> int:
    """The lowest spec version that a worker must support to train this spec."""
    return needed_version(spec)


def granted_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec that a worker gets. Both are JSON data."""
    return for_worker(JobSpec, spec)
