"""A worker trains the number of steps that a plan gives, with the number of images that a plan counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain.image_counts import training_images
from baton.domain.overrides import apply_overrides
from baton.domain.spec import DatasetSpec, parse_spec
from baton.domain.wire import Position
from service.usecases.plans import list_plans
from worker.training.data import load_images
from worker.training.data.listing import Listing
from worker.training.data.splits import split_rows
from worker.training.state.step_plan import StepPlan


def test_a_worker_takes_as_many_steps_as_the_plan_says() -> None:
    for plan in list_plans():
        assert plan.totals is not None
        changes: dict[str, object] = {one.field: "/data" for one in plan.missing}
        spec = parse_spec(apply_overrides(plan.spec, changes))
        worked = StepPlan.of(spec, plan.totals.training_images or 0)
        assert worked.total_steps == plan.totals.steps
        assert list(worked.steps) == [stage.steps_per_epoch for stage in plan.stages]


@pytest.mark.parametrize(
    "dataset",
    [{}, {"classes": 3}, {"per_class": 21, "classes": 4}, {"split": {"train": 0.5, "val": 0.3}, "per_class": 179}],
)
def test_digits_have_as_many_training_images_as_was_counted(tmp_path: Path, dataset: dict[str, Any]) -> None:
    spec = DatasetSpec(name="digits", **dataset)
    assert training_images(spec) == len(load_images(spec, size=8, cache=tmp_path, seed=1).train)


@pytest.mark.parametrize(
    ("split", "each"),
    [
        ("official", 500),
        ({"train": 0.8, "val": 0.2, "test": "official"}, 500),
        ({"train": 0.33, "val": 0.21}, 500),
        ({"train": 0.8, "val": 0.1, "test": 0.1}, 7),
    ],
)
def test_tiny_imagenet_has_as_many_training_images_as_was_counted(split: Any, each: int) -> None:
    spec = DatasetSpec(name="tiny-imagenet-200", path="/data", split=split, per_class=each)
    labels = np.concatenate([np.repeat(np.arange(200), each), np.repeat(np.arange(200), 50)]).astype(np.int32)
    listing = Listing(tuple(map(str, range(200))), labels, 200 * each, (), lambda i: np.zeros((1, 1, 3), np.uint8))
    assert training_images(spec) == len(split_rows(spec, listing, seed=1).train)


def test_a_position_is_fitted_to_data_that_changed() -> None:
    stages = [{"epochs": 2, "batch_size": 10}, {"epochs": 3, "batch_size": 5}]
    spec = parse_spec({"name": "x", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": stages})
    before, less, more = (StepPlan.of(spec, images) for images in (100, 50, 200))
    at = Position(stage=1, epoch=2, step=15, global_step=before.start_of(1).global_step + 2 * 20 + 15)
    assert before.fitted(at) == at
    assert less.fitted(at) == Position(stage=1, epoch=2, step=10, global_step=2 * 5 + 2 * 10 + 10)
    assert more.fitted(at) == Position(stage=1, epoch=2, step=15, global_step=2 * 20 + 2 * 40 + 15)
