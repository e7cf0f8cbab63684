"""A job that trains an image classifier."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from baton.domain.catalog import AUGMENTATIONS, DATASETS, NETWORKS
from baton.domain.extensions import extension
from baton.domain.spec.common import CommonSpec
from baton.domain.spec.dataset import DatasetSpec
from baton.domain.spec.network import NetworkSpec, OptimizerSpec
from baton.domain.spec.stage import Published, StageSpec
from baton.domain.validation import WHOLE, FieldValueError


def _deterministic(value: object) -> object:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError("must be auto, true or false")
    return value


class JobSpec(CommonSpec):
    """A job that trains an image classifier.

    The same spec and seed give bit-identical results on the same kind of machine.
    """

    network: NetworkSpec
    """The network to train."""
    dataset: DatasetSpec
    """The images to train on."""
    seed: Annotated[int, Field(ge=0, lt=2**31), WHOLE] = 101
    """Seed of all random values: weights, split, order of the images, augmentation, dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation; with bfloat16 the weights stay float32."""
    deterministic: Annotated[Literal["auto"] | bool, BeforeValidator(_deterministic)] = "auto"
    """Whether to use only operations with bit-identical results; auto: only on the CPU, where they cost nothing."""
    augmentation_engine: Literal["auto", "imgaug", "device"] = "auto"
    """imgaug: in processes on the host. device: in the training step. auto: device on a GPU where possible."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """The optimizer of the whole job."""
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=100)]
    """The stages, trained in this order."""
    published: Published | None = None
    """Results of the finished model that the source reports; has no effect on training."""

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
