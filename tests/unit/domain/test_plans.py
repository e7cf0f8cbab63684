"""Totals of plans (parameters, training images, steps), and the paths by which a spec is changed."""

from __future__ import annotations

from typing import Any

import pytest

from baton.domain.catalog import DATASETS, NETWORKS
from baton.domain.errors import SpecError
from baton.domain.image_counts import class_parts, training_images
from baton.domain.overrides import apply_overrides
from baton.domain.parameters import count_parameters
from baton.domain.plan_summary import describe
from baton.domain.spec import DatasetSpec, SplitFractions, parse_spec
from baton.domain.spec_paths import known_paths

SPEC: dict[str, Any] = {
    "name": "mine",
    "network": {"name": "network-1"},
    "dataset": {"name": "tiny-imagenet-200"},
    "stages": [{"epochs": 2, "batch_size": 300, "steps_per_epoch": 7}, {"epochs": 3, "batch_size": 300}],
}


def totals(**overrides: object) -> Any:
    found = describe("mine", "", apply_overrides(SPEC, {k.replace("__", "."): v for k, v in overrides.items()}))
    assert found.totals is not None
    return found.totals


def test_the_catalog_tells_the_formulas_result_at_full_width() -> None:
    for name, info in NETWORKS.items():
        counted = count_parameters(name, 1.0, 200)
        assert counted is not None
        assert (counted.total, counted.trainable) == (info.parameters, info.trainable_parameters)
    assert count_parameters("somebody-elses", 1.0, 200) is None


def test_an_epoch_without_steps_is_as_many_whole_batches_as_there_are() -> None:
    assert totals().training_images == 100_000
    assert totals().steps == 2 * 7 + 3 * 333  # 333 = 100,000 // 300
    assert totals().images == (2 * 7 + 3 * 333) * 300
    assert totals(dataset__per_class=1).steps == 2 * 7 + 3 * 1  # 1 = 200 images // 200


@pytest.mark.parametrize(
    ("dataset", "images"),
    [
        ({"name": "tiny-imagenet-200"}, 100_000),
        ({"name": "tiny-imagenet-200", "split": "official", "classes": 10, "per_class": 50}, 500),
        ({"name": "tiny-imagenet-200", "per_class": 900}, 100_000),
        ({"name": "tiny-imagenet-200", "split": {"train": 0.8, "val": 0.2, "test": "official"}}, 80_000),
        ({"name": "tiny-imagenet-200", "split": {"train": 0.5, "val": 0.2}, "classes": 4}, 1000),
        ({"name": "tiny-imagenet-200", "split": {"train": 0.8, "val": 0.2}, "per_class": 1}, None),
        ({"name": "digits"}, 1259),
        ({"name": "digits", "classes": 3, "per_class": 20}, 42),
        ({"name": "image-folder"}, None),
    ],
)
def test_training_images_after_the_split(dataset: dict[str, Any], images: int | None) -> None:
    path = {"path": "/data"} if DATASETS[dataset["name"]].needs_path else {}
    assert training_images(DatasetSpec(**dataset, **path)) == images


def test_parts_of_a_class_are_the_nearest_numbers() -> None:
    assert class_parts(500, SplitFractions(train=0.8, val=0.2, test="official")) == (400, 100, 0)
    assert class_parts(7, SplitFractions(train=0.5, val=0.2, test=0.1)) == (4, 1, 1)
    assert class_parts(2, SplitFractions(train=0.7, val=0.15, test=0.15))[0] < 1


def test_what_only_a_worker_finds_is_left_open() -> None:
    found = totals(dataset__name="image-folder")
    assert (found.training_images, found.classes, found.parameters, found.steps, found.images) == (None,) * 5
    assert totals(dataset__name="image-folder", stages__1__steps_per_epoch=9).steps == 2 * 7 + 3 * 9
    assert totals(dataset__name="image-folder", network__classes=200).parameters == 17_927_040


def test_parameters_follow_width_and_classes() -> None:
    assert totals().parameters == 17_927_040
    assert totals(dataset__classes=10).classes == 10
    assert totals(width=0.5).parameters == count_parameters("network-1", 0.5, 200).total  # type: ignore[union-attr]


def test_only_the_path_of_the_images_may_be_left_to_be_given() -> None:
    assert [one.field for one in describe("mine", "", SPEC).missing] == ["dataset.path"]
    assert "path" not in describe("mine", "", SPEC).spec["dataset"]
    for given in ({"dataset.path": "/data"}, {"dataset.download": True}):
        assert describe("mine", "", apply_overrides(SPEC, given)).missing == []
    for change in ({"seed": -1}, {"dataset.path": 7}, {"dataset.name": "digits", "dataset.path": "/data"}):
        with pytest.raises(SpecError) as caught:
            describe("mine", "", apply_overrides(SPEC, change))
        assert {one.field for one in caught.value.errors} <= {"seed", "dataset.path"}


def test_width_is_short_for_the_networks() -> None:
    assert apply_overrides(SPEC, {"width": 0.5})["network"] == {"name": "network-1", "width": 0.5}


def test_null_takes_a_field_or_a_stage_away() -> None:
    less = apply_overrides(SPEC, {"stages.*.steps_per_epoch": None, "seed": None, "dataset.path": None})
    assert less["stages"] == [{"epochs": 2, "batch_size": 300}, {"epochs": 3, "batch_size": 300}]
    assert ("seed" in less, less["dataset"]) == (False, SPEC["dataset"])
    one = apply_overrides(SPEC, {"stages.0": None, "stages.1.epochs": 9})
    assert [stage["epochs"] for stage in one["stages"]] == [9]
    with pytest.raises(SpecError, match=r"stages.0.epochs: is required"):
        parse_spec(apply_overrides(SPEC, {"stages.0.epochs": None, "dataset.path": "/data"}))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nonesuch", "nonesuch: is not a known field"),
        ("stages.*.epoch", r"stages\.\*\.epoch: is not a known field; did you mean stages\.\*\.epochs"),
        ("epochs", r"epochs: is not a known field; did you mean stages\.\*\.epochs\?"),
        ("network.nonesuch.deep", "there is no field network.nonesuch"),
        ("stages.0.schedule.speed", r"stages\.0\.schedule\.speed: is not a known field"),
        ("stages..epochs", r"stages\.\.epochs: cannot set it"),
        ("optimizer.lr", r"optimizer\.lr: is not a known field; the fields of optimizer are name, learning_rate, "),
        ("stages.0.img_size", r"img_size: is not a known field; did you mean stages\.\*\.image_size"),
        ("params" + ".a" * 20_000, "a path has at most 40 keys"),
    ],
)
@pytest.mark.parametrize("value", [1, None])
def test_a_path_that_no_spec_has_is_named_as_it_was_typed(path: str, words: str, value: object) -> None:
    with pytest.raises(SpecError, match=words):
        apply_overrides(SPEC, {path: value})


def test_a_star_cannot_fill_the_memory_and_a_label_may_have_dots() -> None:
    many = {"params": dict.fromkeys(map(str, range(2000)), 0), "params.*": [0] * 100}
    with pytest.raises(SpecError, match=r"params\.\*: would add more than 100,000 values to the spec"):
        apply_overrides({}, many)
    found = apply_overrides({"labels": {"a": "x"}}, {"labels.team.lead": "ada", "labels.a": None})
    assert found == {"labels": {"team.lead": "ada"}}


@pytest.mark.parametrize(
    "path", ["labels.team", "stages.*.schedule.factor", "stages.1.schedule.base_lr", "dataset.split.test", "checkpoint"]
)
def test_a_path_that_some_spec_has_is_let_through(path: str) -> None:
    apply_overrides({**SPEC, "stages": [{"schedule": {}}] * 2}, {path: "x"})


def test_augmenters_of_ones_own_are_shown_by_name_and_reached_by_path() -> None:
    own = apply_overrides(SPEC, {"stages.1.augmentation": [{"name": "fliplr", "p": 0.5}]})
    assert [stage.augmentation for stage in describe("mine", "", own).stages] == ["none", "[fliplr]"]
    changed = apply_overrides(own, {"stages.1.augmentation.0.p": 0.1})
    assert changed["stages"][1]["augmentation"] == [{"name": "fliplr", "p": 0.1}]
    for path in ("stages.1.augmentation.0.nonesuch", "stages.1.augmentation.nonesuch"):
        with pytest.raises(SpecError, match="is not a known field"):
            apply_overrides(own, {path: 1})


def test_a_network_and_images_that_are_installed_beside_a_worker_leave_counts_open() -> None:
    own = {**SPEC, "network": {"name": "my-net"}, "dataset": {"name": "my-data"}}
    found = describe(
        "own", "", apply_overrides(own, {"network.options.depth": 3}), ["network/my-net", "dataset/my-data"]
    )
    assert found.totals is not None
    assert (found.totals.parameters, found.totals.steps, found.totals.stages) == (None, None, 2)
    assert found.split == {"train": 0.8, "val": 0.1, "test": 0.1}
    with pytest.raises(SpecError, match="unknown network 'my-net'"):
        describe("own", "", own)


def test_known_paths_are_those_of_the_fields() -> None:
    assert {"network.width", "stages.*.epochs", "stages.*.schedule.step_size", "dataset.split.val"} <= set(
        known_paths()
    )
