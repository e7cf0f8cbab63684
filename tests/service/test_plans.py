"""The published plans, line by line. The expected numbers were computed by hand from the tables of the papers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from baton.domain.plan_summary import describe
from baton.domain.plan_views import PlanStageView, PlanView
from service.usecases.plans import list_plans, load_plan
from tests.service.helpers import Api, assert_problem

PLATEAU, CONSTANT = "plateau", "constant"


def facts(plan: str) -> tuple[PlanView, Any]:
    found = load_plan(plan)
    return found, found.totals


def sizes(stage: PlanStageView) -> tuple[int, int, int, int, int | None]:
    whole = (stage.image_size, stage.validation_image_size, stage.batch_size, stage.epochs, stage.steps_per_epoch)
    # Check the products too, so that a wrong product cannot hide an error in its factors.
    assert stage.steps == stage.epochs * (stage.steps_per_epoch or 0)
    assert stage.images == stage.steps * stage.batch_size
    return whole


def published(stage: PlanStageView) -> tuple[float | None, float | None]:
    found = stage.published
    return (found.val_accuracy, found.best_val_accuracy) if found else (None, None)


def plateau_or_constant(stage: PlanStageView) -> str:
    if stage.schedule["name"] == "constant":
        assert stage.schedule["learning_rate"] is None, "the stage keeps the learning rate of the stage before"
        return CONSTANT
    assert stage.schedule == {
        "name": "reduce_on_plateau",
        "monitor": "val_loss",
        "factor": math.sqrt(0.1),
        "patience": 5,
        "cooldown": 0,
        "min_delta": 1e-4,
        "min_lr": 0.5e-6,
        "learning_rate": None,
    }
    return PLATEAU


def cyclic(stage: PlanStageView) -> tuple[float, float, int]:
    assert (stage.schedule["name"], stage.schedule["mode"]) == ("cyclic", "triangular2")
    return stage.schedule["base_lr"], stage.schedule["max_lr"], stage.schedule["step_size"]


# Image, validation image, batch, epochs, steps per epoch; augmentation; schedule; val. accuracy (end, best).
PAPER_1 = [
    ((32, 64, 256, 15, 200), "none", PLATEAU, (0.2562, 0.2562)),
    ((64, 64, 64, 15, 200), "none", PLATEAU, (0.4429, 0.4429)),
    ((64, 64, 64, 15, 200), "none", CONSTANT, (0.4893, 0.4893)),
    ((16, 64, 256, 10, 200), "none", CONSTANT, (0.0911, 0.1193)),
    ((64, 64, 64, 15, 200), "none", CONSTANT, (0.4847, 0.5022)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.4621, None)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.4756, None)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.4862, None)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.4902, None)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.5103, None)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.5231, None)),
    ((64, 64, 64, 15, 200), "paper-1", CONSTANT, (0.5062, None)),
    ((64, 64, 64, 15, 200), "paper-1", PLATEAU, (0.5705, None)),
    ((64, 64, 64, 15, 200), "paper-1", PLATEAU, (0.5811, None)),
    ((64, 64, 64, 15, 200), "paper-1", PLATEAU, (0.5874, None)),
    ((64, 64, 64, 15, 200), "paper-1", PLATEAU, (0.5899, None)),
    ((64, 64, 64, 10, 200), "paper-1", PLATEAU, (0.5871, 0.5933)),
]


def test_paper_network_1() -> None:
    plan, totals = facts("paper-network-1")
    found = [(sizes(s), s.augmentation, plateau_or_constant(s), published(s)) for s in plan.stages]
    assert found == PAPER_1
    assert {stage.start_from for stage in plan.stages} == {"latest"}
    assert (plan.seed, plan.split, plan.precision, plan.spec["network"]["name"]) == (
        42,
        "official",
        "float32",
        "network-1",
    )
    assert (plan.optimizer["name"], plan.optimizer["learning_rate"]) == ("adam", 1e-3)
    assert plan.published is not None
    assert plan.published.best_val_accuracy == 0.595
    assert (totals.parameters, totals.trainable_parameters) == (17_927_040, 17_916_784)
    assert totals.stages == 17
    assert totals.epochs == 15 + 15 + 15 + 10 + 15 + 7 * 15 + 4 * 15 + 10 == 245
    assert totals.steps == 245 * 200 == 49_000
    # The batch size is 256 in stages 1 and 4, and 64 in the 220 epochs of the other stages.
    assert (
        totals.images == 15 * 200 * 256 + 10 * 200 * 256 + 220 * 200 * 64 == 768_000 + 512_000 + 2_816_000 == 4_096_000
    )


PAPER_2 = [  # image, validation, batch, epochs, steps per epoch; base, max, step_size; checkpoint; best accuracy
    ((64, 64, 128, 24, 781), (1e-4, 6e-4, 4686), "latest", 0.5326),
    ((64, 64, 128, 24, 781), (1e-5, 6e-5, 4686), "best", 0.6086),
    ((64, 64, 128, 24, 782), (1e-5, 6e-5, 3128), "best", 0.6174),
    ((64, 64, 128, 12, 782), (1e-6, 6e-6, 1564), "best", 0.6243),
    ((64, 64, 128, 12, 782), (1e-5, 6e-5, 1564), "best", 0.6183),
    ((64, 64, 128, 12, 782), (1e-7, 6e-7, 1564), "best", 0.6273),
]


def test_paper_network_2() -> None:
    plan, totals = facts("paper-network-2")
    assert [(sizes(s), cyclic(s), s.start_from, published(s)[1]) for s in plan.stages] == PAPER_2
    assert {stage.augmentation for stage in plan.stages} == {"paper-2"}
    assert (plan.seed, plan.split, plan.spec["network"]["name"]) == (101, "official", "network-2")
    assert [plan.optimizer[key] for key in ("name", "learning_rate", "epsilon")] == ["adam", 1e-4, 1e-8]
    assert plan.published is not None
    assert plan.published.best_val_accuracy == 0.6273
    assert (totals.parameters, totals.trainable_parameters) == (11_822_920, 11_812_680)
    assert totals.epochs == 24 + 24 + 24 + 12 + 12 + 12 == 108
    assert totals.steps == 48 * 781 + 60 * 782 == 37_488 + 46_920 == 84_408
    assert totals.images == 84_408 * 128 == 10_804_224


REPORT_1 = [
    ((32, 32, 128, 8, 200), "none", 0.18),
    ((64, 64, 128, 15, 200), "none", 0.37),
    ((16, 16, 128, 5, 200), "none", 0.26),
    ((64, 64, 128, 15, 200), "none", 0.45),
    ((64, 64, 128, 75, 200), "paper-1", 0.41),
]
REPORT_SPLIT = {"train": 0.8, "val": 0.2, "test": "official"}


def test_report_model_1() -> None:
    plan, totals = facts("report-model-1")
    assert [(sizes(s), s.augmentation, published(s)[0]) for s in plan.stages] == REPORT_1
    assert {plateau_or_constant(stage) for stage in plan.stages} == {PLATEAU}
    assert {stage.start_from for stage in plan.stages} == {"latest"}
    assert (plan.split, plan.spec["network"]["name"], totals.parameters) == (REPORT_SPLIT, "network-1", 17_927_040)
    assert plan.published is not None
    assert plan.published.test_accuracy == 0.55
    assert totals.training_images == 100_000 * 80 // 100
    assert totals.epochs == 8 + 15 + 5 + 15 + 75 == 118
    assert totals.steps == 118 * 200 == 23_600
    assert totals.images == 118 * 200 * 128 == 3_020_800


REPORT_2 = [  # the paper's row of epochs 50-83 is two stages, because the steps per epoch change after epoch 80
    ((64, 64, 256, 25, 200), (1e-4, 6e-4, 1200), "latest", 0.1667),
    ((64, 64, 256, 25, 200), (1e-4, 6e-4, 1200), "best", 0.3305),
    ((64, 64, 256, 30, 200), (1e-4, 6e-4, 1200), "best", None),
    ((64, 64, 256, 3, 312), (1e-4, 6e-4, 1872), "latest", 0.3338),
    ((64, 64, 128, 17, 312), (1e-4, 6e-4, 1872), "best", 0.3648),
    ((64, 64, 128, 23, 312), (1e-5, 6e-5, 1872), "best", 0.4475),
]


def test_report_model_2() -> None:
    plan, totals = facts("report-model-2")
    assert [(sizes(s), cyclic(s), s.start_from, published(s)[1]) for s in plan.stages] == REPORT_2
    assert {stage.augmentation for stage in plan.stages} == {"paper-2"}
    assert (plan.split, plan.spec["network"]["name"], totals.parameters) == (REPORT_SPLIT, "network-2", 11_822_920)
    assert plan.published is not None
    assert plan.published.best_val_accuracy == 0.4475
    assert totals.epochs == 25 + 25 + 30 + 3 + 17 + 23 == 123
    assert totals.steps == 80 * 200 + 43 * 312 == 16_000 + 13_416 == 29_416
    assert (
        totals.images == 80 * 200 * 256 + 3 * 312 * 256 + 40 * 312 * 128 == 4_096_000 + 239_616 + 1_597_440 == 5_933_056
    )


def test_every_plan_has_a_title_a_name_of_its_own_and_nothing_open_but_its_path() -> None:
    for plan in list_plans():
        assert plan.title
        assert plan.spec["name"] == plan.name
        assert [one.field for one in plan.missing] in ([], ["dataset.path"])
        assert plan == describe(plan.name, plan.title, plan.spec)


def test_a_plan_whose_images_are_not_given_is_refused_by_that_field(api: Api) -> None:
    problem = assert_problem(api.http.post("/v1/jobs", json={"plan": "paper-network-1"}), 422, "invalid-spec")
    assert [error["field"] for error in problem["errors"]] == ["dataset.path"]


def test_a_preview_of_a_changed_plan(api: Api) -> None:
    changes = {"width": 0.05, "stages.*.epochs": 1, "stages.*.steps_per_epoch": None, "dataset.classes": 10}
    answer = api.http.post("/v1/plans:preview", json={"plan": "paper-network-1", "set": changes})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    # 10 classes of 500 images: 19 batches of 256 in stages 1 and 4, 78 batches of 64 in the other 15 stages.
    assert found["totals"]["steps"] == 2 * 19 + 15 * 78 == 1208
    assert found["totals"]["images"] == 2 * 19 * 256 + 15 * 78 * 64 == 84_608
    assert (found["totals"]["classes"], found["totals"]["training_images"]) == (10, 5000)
    assert found["name"] == "paper-network-1"
    assert [one["field"] for one in found["missing"]] == ["dataset.path"]


def test_a_preview_of_a_spec_of_ones_own(api: Api) -> None:
    spec = {"name": "own", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 2}]}
    found = api.http.post("/v1/plans:preview", json=spec).json()
    assert (found["name"], found["totals"]["steps"], found["totals"]["images"]) == ("own", 2 * 9, 2 * 9 * 128)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"plan": "nonesuch"}, "plan"),
        ({"plan": "paper-network-1", "set": {"stages.*.nonesuch": 1}}, "stages.*.nonesuch"),
        ({"plan": "paper-network-1", "set": {"stages.3.image_size": 20}}, "stages.3.image_size"),
        ({"plan": "paper-network-1", "set": {"width": -1}}, "network.width"),
        ([1], "(body)"),
    ],
)
def test_a_preview_that_cannot_be(api: Api, body: Any, field: str) -> None:
    problem = assert_problem(api.http.post("/v1/plans:preview", json=body), 422, "invalid-spec")
    assert [error["field"] for error in problem["errors"]] == [field]
