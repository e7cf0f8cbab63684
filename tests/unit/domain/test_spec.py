"""Specs: an error names the wrong field, and a valid value is the same after it was stored."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.domain.durations import parse_duration
from baton.domain.errors import SpecError
from baton.domain.overrides import apply_overrides
from baton.domain.spec import DatasetSpec, EverySeconds, EverySteps, dump_spec, parse_spec

GOOD: dict[str, Any] = {
    "name": "good",
    "network": {"name": "network-2", "width": 0.5},
    "dataset": {"name": "digits"},
    "stages": [
        {"epochs": 2, "image_size": 16, "schedule": {"name": "reduce_on_plateau"}},
        {"epochs": 1, "start_from": "best", "schedule": {"name": "cyclic", "mode": "exp_range", "gamma": 0.99}},
    ],
}


def errors(overrides: dict[str, object]) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(apply_overrides(GOOD, overrides))
    return {error.field: error.message for error in caught.value.errors}


def test_a_good_spec_survives_being_stored() -> None:
    spec = parse_spec(GOOD)
    assert parse_spec(dump_spec(spec)) == spec
    assert spec.total_epochs == 3
    assert spec.stages[0].batch_size == 128


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "has spaces", "must match"),
        ("network.name", "resnet", "known: network-1, network-2, tiny-cnn"),
        ("network.width", 0, "greater than 0"),
        ("network.classes", 1, "at least 2"),
        ("dataset.name", "cifar", "unknown data set"),
        ("dataset.path", "/data", "takes no path"),
        ("dataset.data", "photos", "takes no pushed data"),
        ("dataset.data", "Photos", "must be NAME or NAME@sha256:DIGEST"),
        ("dataset.classes", 11, "has 10 classes"),
        ("dataset.download", True, "no known source"),
        ("dataset.download", "yes", "valid boolean"),
        ("dataset.download", "http://example.org/x.zip", "valid boolean"),
        ("dataset.split", "half", "must be official, or fractions"),
        ("dataset.split", {"train": 0.9, "val": 0.3}, "more than 1"),
        ("seed", -1, "at least 0"),
        ("precision", "float16", "must be"),
        ("optimizer.learning_rate", 0, "greater than 0"),
        ("stages", [], "at least 1"),
        ("stages.0.epochs", 0, "at least 1"),
        ("stages.0.batch_size", 0, "at least 1"),
        ("stages.0.image_size", 30, "multiple of 8"),
        ("stages.0.validation_image_size", 20, "multiple of 8"),
        ("stages.0.augmentation", "mixup", "unknown augmentation"),
        ("stages.0.start_from", "best", "no best model before it"),
        ("stages.0.schedule.factor", 1.5, "less than 1"),
        ("stages.1.schedule.base_lr", 0, "greater than 0"),
        ("stages.1.schedule.max_lr", 1e-9, "at least base_lr"),
        ("stages.1.schedule", {"name": "cosine"}, "known"),
        ("stages.1.steps_per_epoch", 0, "at least 1"),
        ("checkpoint.every", "often", "500 steps"),
        ("checkpoint.keep", 0, "at least 1"),
        ("retry.backoff", "soon", "30s"),
        ("queue", "Not A Queue", "must match"),
        ("priority", "urgent", "must be"),
        ("surprise", 1, "not a known field"),
        ("network.module", "os", "not a known field"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: object, words: str) -> None:
    found = errors({field: value})
    assert list(found) == [field]
    assert words in found[field]


def test_all_that_is_wrong_is_named_at_once() -> None:
    found = errors({"stages.0.epochs": 0, "network.name": "x", "seed": "a"})
    assert set(found) == {"stages.0.epochs", "network.name", "seed"}


@pytest.mark.parametrize("data", [None, [], "spec", 7, {"name": "x"}])
def test_what_is_no_spec_at_all(data: object) -> None:
    with pytest.raises(SpecError):
        parse_spec(data)


@pytest.mark.parametrize(
    ("every", "meant"),
    [
        ("auto", "auto"),
        ("60s", EverySeconds(seconds=60)),
        ("1m30s", EverySeconds(seconds=90)),
        ("500 steps", EverySteps(steps=500)),
        ("1 step", EverySteps(steps=1)),
        (20, EverySeconds(seconds=20)),
    ],
)
def test_cadences(every: object, meant: object) -> None:
    spec = parse_spec({**GOOD, "checkpoint": {"every": every}})
    assert spec.checkpoint.every == meant
    assert parse_spec(dump_spec(spec)).checkpoint.every == meant


@pytest.mark.parametrize(("text", "seconds"), [("90", None), ("11h30m", 41400), ("1.5m", 90), (7, 7), ("2d", 172800)])
def test_durations(text: object, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)
    else:
        assert parse_duration(text) == seconds


def test_overrides_change_a_copy() -> None:
    before = copy.deepcopy(GOOD)
    changed = apply_overrides(GOOD, {"stages.*.epochs": 7, "stages.1.batch_size": 4, "checkpoint.every": "5 steps"})
    assert [stage["epochs"] for stage in changed["stages"]] == [7, 7]
    assert changed["stages"][1]["batch_size"] == 4
    assert changed["checkpoint"] == {"every": "5 steps"}
    assert before == GOOD


@pytest.mark.parametrize("path", ["name.first", "stages.9.epochs", "stages.first.epochs", ""])
def test_overrides_that_lead_nowhere(path: str) -> None:
    assert list(errors({path: 1})) == [path]


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_no_value_of_a_field_breaks_the_parser(value: object) -> None:
    for field in ("stages", "network", "checkpoint", "dataset", "labels"):
        try:
            parse_spec({**GOOD, field: value})
        except SpecError as error:
            assert all(e.field.split(".")[0] == field for e in error.errors)


def test_a_data_set_that_is_downloaded_needs_no_path() -> None:
    def made(**fields: object) -> DatasetSpec:
        return DatasetSpec.model_validate({"name": "tiny-imagenet-200", **fields})

    assert made(download=True).path is None
    assert made(download=True, path="/data").path == "/data"
    with pytest.raises(ValueError, match=r"path of its directory or \.zip on the worker, or download: true, or pushed"):
        made()
    with pytest.raises(ValueError, match=r"\.zip on the worker, or pushed data: data: NAME \["):
        DatasetSpec.model_validate({"name": "image-folder"})


def test_pushed_data_stands_alone() -> None:
    def made(**fields: object) -> DatasetSpec:
        return DatasetSpec.model_validate({"name": "tiny-imagenet-200", **fields})

    assert made(data=f"photos@sha256:{'0' * 64}").data == f"photos@sha256:{'0' * 64}"
    for other in ({"path": "/data"}, {"download": True}):
        with pytest.raises(ValueError, match=f"cannot be combined with {next(iter(other))}"):
            made(data="photos", **other)
