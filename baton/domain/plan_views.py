"""Answers of the service about plans, networks and extensions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from baton.domain.errors import FieldError
from baton.domain.extensions import PackageKind
from baton.domain.spec import Published
from baton.domain.wire import Message


class PlanStageView(Message):
    """A stage as it would run: all fields with their defaults, and its totals. `stage` counts from 1.

    `steps`: of all its epochs. `images`: seen in all its epochs, with repetitions. These and `steps_per_epoch` are None
    if they depend on how many images the worker finds. `augmentation`: a name, or the user's augmenters in brackets.
    """

    stage: int
    name: str
    image_size: int
    validation_image_size: int
    batch_size: int
    epochs: int
    steps_per_epoch: int | None
    steps: int | None
    images: int | None
    augmentation: str
    schedule: dict[str, Any]
    start_from: str
    published: Published | None = None


class PlanTotals(Message):
    """The totals of a plan. None: depends on the images that the worker finds, or on a network that is an extension.

    `parameters`: at the plan's width for `classes`. `trainable_parameters`: the trainable part of them.
    `training_images`: after the split. `images`: seen in all epochs, with repetitions.
    """

    parameters: int | None
    trainable_parameters: int | None
    classes: int | None
    training_images: int | None
    stages: int
    epochs: int
    steps: int | None
    images: int | None


class PlanView(Message):
    """A published plan: a job spec with a name, and its totals.

    `spec`: as it would be submitted. `split`, `optimizer`, `seed` and `precision`: with their defaults. `published`:
    the final results that the source reports. `missing`: fields that a submission must add.
    """

    name: str
    title: str
    spec: dict[str, Any]
    source: str | None = None
    published: Published | None = None
    totals: PlanTotals | None = None
    stages: list[PlanStageView] = Field(default_factory=list)
    split: str | dict[str, Any] | None = None
    optimizer: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    precision: str | None = None
    missing: list[FieldError] = Field(default_factory=list)


class NetworkView(Message):
    """A network that a spec may name. Parameter counts at width 1 with 200 classes."""

    name: str
    title: str
    parameters: int
    trainable_parameters: int
    size_multiple: int
    source: str


class ExtensionView(Message):
    """A network, data set or augmentation that is installed next to these workers. A spec may name it."""

    kind: PackageKind
    name: str
    workers: list[str]
