"""Augmentation in a spec: an error names the path of the wrong field, and a valid value is the same after it was
stored.
"""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.domain.errors import SpecError
from baton.domain.spec import AugmentationSpec, StageSpec, dump_spec, parse_spec
from baton.domain.spec.augmenters import AUGMENTERS

FLIP: dict[str, Any] = {"name": "fliplr"}
AFFINE: dict[str, Any] = {"name": "affine", "rotate": [-20, 20], "scale": {"x": [0.8, 1.2], "y": 1}}
GOOD: dict[str, Any] = {
    "name": "good",
    "network": {"name": "network-2"},
    "dataset": {"name": "digits"},
    "stages": [{"epochs": 1}, {"epochs": 1, "augmentation": {"some_of": [0, None], "augmenters": [FLIP, AFFINE]}}],
}


def changed(path: list[str], value: object) -> dict[str, Any]:
    """A copy of GOOD with another value at this path of the second stage's augmentation."""
    made = copy.deepcopy(GOOD)
    node: Any = made["stages"][1]["augmentation"]
    for key in path[:-1]:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[int(path[-1]) if isinstance(node, list) else path[-1]] = value
    return made


def spec_with(augmentation: object) -> dict[str, Any]:
    return {**GOOD, "stages": [{"epochs": 1, "augmentation": augmentation}]}


def parsed(augmentation: object) -> Any:
    return parse_spec(spec_with(augmentation)).stages[0].augmentation


def errors(data: object) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(data)
    return {error.field: error.message for error in caught.value.errors}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("augmenters", [], "at least 1"),
        ("augmenters", None, "must be a list"),
        ("augmenters.0", 7, "must be a mapping"),
        ("augmenters.0.name", "flip", "unknown augmenter 'flip'; known: fliplr"),
        ("augmenters.0.name", None, "unknown augmenter"),
        ("augmenters.0.p", 1.5, "at most 1"),
        ("augmenters.0.p", True, "must be a number"),
        ("augmenters.0.sometimes", -0.5, "at least 0"),
        ("augmenters.0.degrees", 3, "not a known field"),
        ("augmenters.1.rotate", "much", "must be a number from -360 to 360, or a range"),
        ("augmenters.1.rotate", [20, -20], "low below high"),
        ("augmenters.1.rotate", [20], "low below high"),
        ("augmenters.1.rotate", [0, 400], "from -360 to 360"),
        ("augmenters.1.rotate", float("nan"), "must be a number"),
        ("augmenters.1.rotate", 10**400, "must be a number"),
        ("augmenters.1.scale", 0, "from 0.05 to 20"),
        ("augmenters.1.scale.x", [2, 1], "low below high"),
        ("augmenters.1.scale.z", 1, "not a known field"),
        ("augmenters.1.mode", "mirror", "unknown mode 'mirror'; known: constant, edge"),
        ("augmenters.1.mode.1", ["edge", "mirror"], "unknown mode"),
        ("augmenters.1.mode", [], "1 to 32 members"),
        ("augmenters.1.order", 2, "known: 0, 1, 3"),
        ("augmenters.1.cval", [0, 256], "from 0 to 255"),
        ("some_of", 3, "at most 2"),
        ("some_of", [0, 3], "at most 2"),
        ("some_of", [2, 1], "[least, most]"),
        ("some_of", [1], "[least, most]"),
        ("some_of", True, "[least, most]"),
        ("some_of", [None, 1], "[least, most]"),
        ("order", "shuffled", "'fixed' or 'random'"),
        ("probability", 1, "not a known field"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(key: str, value: object, words: str) -> None:
    place = key.removesuffix(".1") if isinstance(value, list) and key.endswith("mode.1") else key
    found = errors(changed(place.split("."), value))
    assert list(found) == [f"stages.1.augmentation.{key}"]
    assert words in found[f"stages.1.augmentation.{key}"]


@pytest.mark.parametrize(
    ("augmenter", "key", "words"),
    [
        ({}, ".name", "is required"),
        ({"name": "coarse_dropout", "size_percent": 0.1}, ".p", "is required"),
        ({"name": "affine"}, "", "at least one of scale, translate_percent, rotate and shear"),
        ({"name": "add_to_hue_and_saturation"}, "", "needs value_hue, value_saturation or both"),
        ({"name": "add", "value": 1.5}, ".value", "a whole number from -255 to 255"),
        ({"name": "multiply", "mul": 1, "per_channel": 2}, ".per_channel", "true, false or the share"),
        ({"name": "affine", "scale": {"x": 1}}, ".scale.y", "is required"),
    ],
)
def test_so_is_what_is_wrong_in_a_bare_list(augmenter: dict[str, Any], key: str, words: str) -> None:
    found = errors(spec_with([FLIP, augmenter]))
    assert list(found) == [f"stages.0.augmentation.1{key}"]
    assert words in found[f"stages.0.augmentation.1{key}"]


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = {"order": "any", "augmenters": [{"name": "fliplr", "p": 2, "sometimes": 2}, {"name": "x"}]}
    places = ("order", "augmenters.0.p", "augmenters.0.sometimes", "augmenters.1.name")
    assert set(errors(spec_with(wrong))) == {f"stages.0.augmentation.{place}" for place in places}


@pytest.mark.parametrize("value", [7, None, True, 0.5])
def test_what_is_no_augmentation_at_all(value: object) -> None:
    assert "a mapping with augmenters" in errors(spec_with(value))["stages.0.augmentation"]


@pytest.mark.parametrize(
    "augmentation",
    [
        {"augmenters": [FLIP]},
        {"order": "random", "some_of": 1, "augmenters": [FLIP, AFFINE]},
        {"some_of": [0, None], "augmenters": [AFFINE]},
        {"some_of": [1, 2], "augmenters": [AFFINE, {"name": "rot90", "k": [1, 3], "sometimes": 0.5}]},
        [FLIP, {"name": "multiply", "mul": [0.5, 1.5], "per_channel": 0.2}],
    ],
)
def test_it_survives_being_stored_and_travels(augmentation: object) -> None:
    spec = parse_spec(spec_with(augmentation))
    assert parse_spec(json.loads(json.dumps(dump_spec(spec)))) == spec
    own = spec.stages[0].augmentation
    assert pickle.loads(pickle.dumps(own)) == own
    assert {own: 1}[copy.deepcopy(own)] == 1


def test_a_name_is_stored_as_it_was_written() -> None:
    assert dump_spec(parse_spec(spec_with("paper-2")))["stages"][0]["augmentation"] == "paper-2"
    assert dump_spec(parse_spec(GOOD))["stages"][0]["augmentation"] == "none"


def test_a_bare_list_is_its_augmenters_in_their_order() -> None:
    assert parsed([FLIP, AFFINE]) == parsed({"order": "fixed", "augmenters": [FLIP, AFFINE]})
    assert str(parsed([FLIP, AFFINE])) == "[fliplr, affine]"


def test_equal_specs_have_equal_values_of_equal_types() -> None:
    """A cache of built augmenters must distinguish two specs for which imgaug draws differently."""
    one, same = ({"name": "add", "value": 3, "per_channel": share} for share in (1, True))
    assert json.dumps(dump_spec(parse_spec(spec_with([one])))) == json.dumps(dump_spec(parse_spec(spec_with([same]))))
    assert parsed([{"name": "multiply", "mul": "1e-1"}]) == parsed([{"name": "multiply", "mul": 0.1}])


def test_the_schema_shows_every_augmenter_by_name() -> None:
    schema = StageSpec.model_json_schema()
    name, whole, listed = schema["properties"]["augmentation"]["anyOf"]
    assert name["enum"] == ["none", "paper-1", "paper-2"]
    assert whole == {"$ref": "#/$defs/AugmentationSpec"}
    assert set(listed["items"]["discriminator"]["mapping"]) == set(AUGMENTERS)
    rotate = schema["$defs"]["Affine"]["properties"]["rotate"]["anyOf"]
    assert rotate[0] == {"type": "number", "minimum": -360, "maximum": 360}
    assert (rotate[1]["items"], rotate[1]["minItems"], rotate[1]["maxItems"]) == (rotate[0], 2, 2)


def test_defaults_are_those_of_the_schema() -> None:
    for model in AUGMENTERS.values():
        assert all(field.default is not ... for field in model.model_fields.values())
        for key, found in model.model_json_schema()["properties"].items():
            if "default" in found:
                assert found["default"] == model.model_fields[key].default


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    JUNK,
    st.sampled_from(sorted(AUGMENTERS)),
    st.sampled_from(["p", "percent", "mode", "k", "scale", "per_channel", "sometimes", "cval", "shear", "name"]),
)
def test_no_value_breaks_the_parser(value: object, name: str, key: str) -> None:
    for whole in (value, [value], {"augmenters": value}, {"some_of": value, "augmenters": [FLIP]}, [{key: value}]):
        _parse_or_refuse(whole)
    _parse_or_refuse([{"name": name, key: value}])


def _parse_or_refuse(augmentation: object) -> None:
    try:
        found = parsed(augmentation)
    except SpecError as error:
        assert all(e.field.startswith("stages.0.augmentation") for e in error.errors)
    else:
        assert isinstance(found, str | AugmentationSpec)
