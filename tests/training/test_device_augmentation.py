"""Augmentation on the device is a pure function of images and seed, compiled or not.

Unsupported augmenters are named.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AUGMENTERS
from tests.training.device import on_device, on_device_compiled
from tests.training.device_forms import LEFT_OUT, ON_DEVICE, OTHER
from tests.unit.training.augmenters import FORMS, Form, spec_of, waves
from worker.training.augmentation.device import build_device, unsupported
from worker.training.augmentation.paper_policies import POLICIES

EVERY: dict[str, str | AugmentationSpec] = {**{name: name for name in POLICIES}, "others": OTHER}
WITHOUT_TENSORFLOW = """
import sys
from worker.training.augmentation.device import unsupported
assert unsupported("paper-2") == []
assert not {"tensorflow", "keras", "imgaug"} & set(sys.modules)
"""


def _label(form: Form) -> str:
    return " ".join(f"{key}={value}" for key, value in form.items())


def test_what_cannot_be_done_is_named_and_refused() -> None:
    assert {name for name in AUGMENTERS if any(_refused(form) for form in FORMS if form["name"] == name)} == LEFT_OUT
    bright: Form = {"name": "multiply_brightness", "mul": 2}
    assert unsupported(spec_of({"name": "fliplr"}, bright, bright)) == ["multiply_brightness"]
    with pytest.raises(ValueError, match="cannot be augmented on the device: multiply_brightness"):
        build_device(spec_of(bright))
    assert unsupported("mine") == ["mine (an extension)"]
    assert [unsupported(name) for name in ("none", *POLICIES)] == [[], [], []]


def _refused(form: Form) -> list[str]:
    return unsupported(spec_of(form))


@pytest.mark.process
def test_what_can_be_done_is_known_without_tensorflow() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ON_DEVICE, ids=_label)
def test_every_form_gives_images_that_the_seed_decides(form: Form) -> None:
    images = waves(6, 16)
    before = images.copy()
    first, again, others = (on_device(spec_of(form), images, batch) for batch in (0, 0, 1))
    assert (first.dtype, first.shape) == (images.dtype, images.shape)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, before)
    drawn = any(isinstance(value, list | tuple | dict) or value == 0.5 for value in form.values())
    assert drawn <= bool((first != images).any() or (others != images).any())


@pytest.mark.parametrize("augmentation", EVERY.values(), ids=EVERY)
def test_compiled_and_uncompiled_steps_agree(augmentation: str | AugmentationSpec) -> None:
    """Small differences are allowed, where another order of summation changes the rounding."""
    images = waves(50, 16)
    for batch in range(3):
        compiled, plain = (run(augmentation, images, batch) for run in (on_device_compiled, on_device))
        assert (compiled.dtype, compiled.shape) == (images.dtype, images.shape)
        assert (compiled != plain).mean() < 0.001


@pytest.mark.parametrize("augmentation", EVERY.values(), ids=EVERY)
def test_the_seed_decides_whatever_was_computed_before(augmentation: str | AugmentationSpec) -> None:
    images, other = waves(50, 16), waves(50, 16, seed=9)
    first = on_device_compiled(augmentation, images, 7)
    others = on_device_compiled(augmentation, other, 7)
    changed = [on_device_compiled(augmentation, images, batch) for batch in range(4)]
    np.testing.assert_array_equal(on_device_compiled(augmentation, images, 7), first)
    assert not np.array_equal(first, others)
    assert len({batch.tobytes() for batch in (first, *changed)}) == 5
    assert np.mean([(batch != images).any(axis=(1, 2, 3)).mean() for batch in changed]) > 0.5


def test_both_halves_of_the_seed_count() -> None:
    augment, images = build_device("paper-1"), tf.constant(waves(8, 16))
    seeds = [(0, 0), (0, 1), (1, 0), (-1, 0), (0, -(2**31))]
    assert len({augment(images, tf.constant(seed)).numpy().tobytes() for seed in seeds}) == len(seeds)


def test_equal_augmenters_draw_apart() -> None:
    """Otherwise two equal augmenters would drop the same pixels, and would treat all images of a batch alike."""
    half: Form = {"name": "dropout", "p": 0.5}
    kept = on_device(spec_of(half, half), np.full((20, 16, 16, 3), 9, np.uint8)) > 0
    assert kept.mean() == pytest.approx(0.25, abs=0.03)
    assert len({image.tobytes() for image in kept}) == 20


def test_none_gives_the_images_as_they_are() -> None:
    images = tf.constant(waves(2, 16))
    assert build_device("none")(images, tf.constant([1, 2])) is images
    assert build_device("none").drawn_order(np.array([1, 2], np.int32)) == []


def test_a_shape_that_is_not_static_is_refused() -> None:
    augment: Any = tf.function(
        build_device("paper-1").__call__,
        input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.uint8), tf.TensorSpec([2], tf.int32)],
    )
    with pytest.raises(ValueError, match="needs images of a static shape"):
        augment(waves(2, 16), np.array([1, 2], np.int32))


def test_rot90_refuses_what_is_not_square() -> None:
    with pytest.raises(ValueError, match="rot90 needs square images, not 16 x 12"):
        on_device(spec_of({"name": "rot90", "k": 1}), waves(2, 16)[:, :, :12])
