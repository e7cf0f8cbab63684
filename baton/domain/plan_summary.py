"""Computes a plan's stages with defaults, steps, images seen and parameters. Uses only the spec."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from baton.domain.errors import FieldError, SpecError
from baton.domain.image_counts import class_count, split_of, training_images
from baton.domain.parameters import count_parameters
from baton.domain.plan_views import PlanStageView, PlanTotals, PlanView
from baton.domain.spec import AnySpec, JobSpec, ProgramJobSpec, StageSpec, parse_spec
from baton.domain.step_counts import stage_steps, steps_per_epoch

PATH = "dataset.path"


def describe(name: str, title: str, data: Any, extensions: Collection[str] = ()) -> PlanView:
    """A plan with its computed totals, from decoded YAML or JSON. Only `dataset.path` may be missing.

    A program has no totals and no stages: only the program knows how many steps it takes. `extensions`: the names that
    a classifier's spec may use in addition to those of the catalog.

    Raises:
        SpecError: with one entry for each wrong field.
    """
    spec, missing = _read(data, extensions)
    if isinstance(spec, ProgramJobSpec):
        return PlanView(name=name, title=title, spec=dict(data), source=spec.source)
    images = training_images(spec.dataset)
    stages = [_stage(number, stage, images) for number, stage in enumerate(spec.stages, start=1)]
    split = split_of(spec.dataset)
    return PlanView(
        name=name,
        title=title,
        spec=dict(data),
        source=spec.source,
        published=spec.published,
        totals=_totals(spec, images, stages),
        stages=stages,
        split=split if isinstance(split, str) else split.model_dump(exclude_none=True),
        optimizer=spec.optimizer.model_dump(),
        seed=spec.seed,
        precision=spec.precision,
        missing=missing,
    )


def _read(data: Any, extensions: Collection[str]) -> tuple[AnySpec, list[FieldError]]:
    """The spec, and the fields that a submission must add: only the user knows the path of the images on the worker."""
    try:
        return parse_spec(data, extensions), []
    except SpecError as error:
        dataset = data.get("dataset") if isinstance(data, Mapping) else None
        missing = [one for one in error.errors if one.field == PATH]
        if not missing or not isinstance(dataset, Mapping) or {"path", "data"} & {*dataset}:
            raise
    # The value of the path does not matter: nothing here depends on it, and it is not shown.
    return parse_spec({**data, "dataset": {**dataset, "path": "."}}, extensions), missing


def _stage(number: int, stage: StageSpec, images: int | None) -> PlanStageView:
    steps = stage_steps(stage, images)
    return PlanStageView(
        stage=number,
        name=stage.name or f"stage-{number}",
        image_size=stage.image_size,
        validation_image_size=stage.judged_at,
        batch_size=stage.batch_size,
        epochs=stage.epochs,
        steps_per_epoch=None if steps is None else steps_per_epoch(stage, images or 0),
        steps=steps,
        images=None if steps is None else steps * stage.batch_size,
        augmentation=str(stage.augmentation),
        schedule=stage.schedule.model_dump(),
        start_from=stage.start_from,
        published=stage.published,
    )


def _totals(spec: JobSpec, images: int | None, stages: list[PlanStageView]) -> PlanTotals:
    network = spec.network
    classes = network.classes or class_count(spec.dataset)
    counted = count_parameters(network.name, network.width, classes) if classes else None
    return PlanTotals(
        parameters=counted.total if counted else None,
        trainable_parameters=counted.trainable if counted else None,
        classes=classes,
        training_images=images,
        stages=len(stages),
        epochs=spec.total_epochs,
        steps=_sum(stage.steps for stage in stages),
        images=_sum(stage.images for stage in stages),
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    """The sum. None if a number is not known."""
    found = list(numbers)
    known = [number for number in found if number is not None]
    return sum(known) if len(known) == len(found) else None
