"""The repaired imgaug: every supported augmenter, in every form, runs on the current NumPy and gives the same bytes
everywhere.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skimage

from baton.domain.spec.augmenters import AFFINE_MODES, AUGMENTERS, PAD_MODES
from tests.unit.training.augmenters import FORMS, Form, fingerprints, spec_of, waves
from worker.training.augmentation import augment
from worker.training.augmentation.imgaug_builder import CLASSES, build
from worker.training.augmentation.imgaug_compat import dtypes, geometric, ia, iaa
from worker.training.augmentation.imgaug_faster import faster
from worker.training.augmentation.paper_policies import POLICIES

FINGERPRINTS = "import json; from tests.unit.training.augmenters import fingerprints; print(json.dumps(fingerprints()))"


def _label(form: Form) -> str:
    return " ".join(f"{key}={value}" for key, value in form.items())


@pytest.mark.parametrize("form", FORMS, ids=_label)
def test_faster_is_what_imgaug_itself_gives_to_the_byte(form: Form) -> None:
    plain, images = build(spec_of(form)), waves(8, 32)
    for seed in range(5):
        plain.seed_(seed)
        np.testing.assert_array_equal(augment(spec_of(form), images, seed), plain.augment_images(images))


def test_imgaug_is_left_as_it_was() -> None:
    augment("paper-1", waves(2, 16), 0)
    assert geometric.tf is skimage.transform
    assert dtypes.gate_dtypes.__module__ == "imgaug.dtypes"
    with pytest.raises(ValueError, match="forbidden dtype"), faster():
        dtypes.gate_dtypes(np.zeros(3, np.float32), ["uint8"], ["float32"])


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("form", FORMS, ids=_label)
def test_every_form_gives_changed_uint8_images_of_the_same_shape(form: Form, size: int) -> None:
    images = waves(8, size)
    before = images.copy()
    results = [augment(spec_of(form), images, seed) for seed in range(3)]
    assert {(r.dtype, r.shape) for r in results} == {(np.dtype(np.uint8), images.shape)}
    np.testing.assert_array_equal(images, before)
    assert not any(np.shares_memory(images, result) for result in results)
    assert any((result != before).any() for result in results)
    np.testing.assert_array_equal(augment(spec_of(form), images, 0), results[0])


def _fresh(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINTS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.process
def test_every_form_gives_the_same_bytes_in_processes_with_different_hash_seeds() -> None:
    first, second = _fresh("1"), _fresh("2")
    assert first == second == fingerprints()


def test_every_augmenter_that_a_spec_may_name_is_built_and_tested() -> None:
    assert set(AUGMENTERS) == set(CLASSES) == {form["name"] for form in FORMS}


def test_every_key_is_tested() -> None:
    for name, model in AUGMENTERS.items():
        used = {key for form in FORMS for key in form if form["name"] == name}
        assert set(model.model_fields) - {"sometimes"} <= used | {"name"}, name


def test_modes_are_all_that_imgaug_knows() -> None:
    """Our lists contain all modes of imgaug's "all", in a fixed order."""
    assert set(iaa.CropAndPad(percent=0.1, pad_mode=ia.ALL).pad_mode.a) == set(PAD_MODES)
    assert set(iaa.Affine(rotate=1, mode=ia.ALL).mode.a) == set(AFFINE_MODES)


def _leaves(augmenter: Any) -> Iterator[Any]:
    children = [child for group in augmenter.get_children_lists() for child in group]
    for child in children:
        yield from _leaves(child)
    if not children:
        yield augmenter


def test_policies_hold_the_published_augmenters() -> None:
    names = [type(leaf).__name__ for policy in POLICIES.values() for leaf in _leaves(build(policy))]
    first = ["Affine", "Affine", "CoarseDropout", "AdditiveGaussianNoise", "CropAndPad"]
    second = ["Fliplr", "Flipud", "GaussianBlur", "CropAndPad", "Affine", "CoarseDropout", "Multiply", "LinearContrast"]
    assert names == first + second


def _one(name: str, **form: Any) -> Any:
    return build(spec_of({"name": name, **form}))


def test_augmenters_do_what_their_names_say() -> None:
    """Compare with our own formulas: a repaired augmenter must also compute the right result."""
    images = waves(4, 32)
    exact = images.astype(int)
    np.testing.assert_array_equal(_one("fliplr", p=1).augment_images(images), images[:, :, ::-1])
    np.testing.assert_array_equal(_one("flipud", p=1).augment_images(images), images[:, ::-1])
    np.testing.assert_array_equal(_one("rot90", k=1).augment_images(images), np.rot90(images, -1, axes=(1, 2)))
    np.testing.assert_array_equal(_one("affine", scale=1).augment_images(images), images)
    np.testing.assert_array_equal(_one("add", value=9).augment_images(images), np.clip(exact + 9, 0, 255))
    _close(_one("multiply", mul=0.5).augment_images(images), images / 2)
    _close(_one("linear_contrast", alpha=0.5).augment_images(images), 127 + 0.5 * (exact - 127))
    _close(_one("gamma_contrast", gamma=2).augment_images(images), 255 * (images / 255) ** 2)
    luma = images @ np.array([0.299, 0.587, 0.114])
    _close(_one("grayscale", alpha=1).augment_images(images), np.repeat(luma[..., None], 3, axis=3))


def _close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert np.abs(found.astype(float) - wanted).max() <= 1


def test_colour_moves_as_asked() -> None:
    red = np.full((2, 16, 16, 3), (200, 20, 20), np.uint8)
    turned = _one("add_to_hue_and_saturation", value_hue=85).augment_images(red)
    assert (turned.argmax(axis=3) == 1).all()
    pale = _one("add_to_hue_and_saturation", value_saturation=-255).augment_images(red)
    assert np.ptp(pale.astype(int), axis=3).max() <= 1
    dark = _one("multiply_brightness", mul=0.5).augment_images(red)
    assert (dark.mean() < 0.75 * red.mean()) and (dark.argmax(axis=3) == 0).all()


def test_noise_and_dropout_have_the_strength_asked_for() -> None:
    grey = np.full((64, 32, 32, 3), 128, np.uint8)
    noise = _seeded("additive_gaussian_noise", scale=0.05 * 255).augment_images(grey)
    assert np.std(noise.astype(float)) == pytest.approx(0.05 * 255, rel=0.05)
    coarse = _seeded("coarse_dropout", p=0.1, size_percent=0.2).augment_images(grey)
    assert set(np.unique(coarse)) == {0, 128}
    assert np.mean(coarse == 0) == pytest.approx(0.1, abs=0.03)
    fine = _seeded("dropout", p=0.1, per_channel=True).augment_images(grey)
    assert np.mean(fine == 0) == pytest.approx(0.1, abs=0.01)


def _seeded(name: str, **form: Any) -> Any:
    augmenter = _one(name, **form)
    augmenter.seed_(1)
    return augmenter


def test_sometimes_and_chances_are_shares_of_images() -> None:
    images = waves(2000, 8)
    for form in ({"name": "fliplr", "p": 0.3}, {"name": "fliplr", "p": 1, "sometimes": 0.3}):
        changed = (augment(spec_of(form), images, 5) != images).any(axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / len(images)))
