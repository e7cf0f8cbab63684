"""Augmentation on the device without randomness: the same pixels as imgaug.

On x86-64, where OpenCV computes with integers on all processors, almost every form is equal to the byte. BOUNDS has
the exceptions. On other processors OpenCV may interpolate differently, so there the test bounds the mean difference.
"""

from __future__ import annotations

import platform
from itertools import permutations

import numpy as np
import pytest

from baton.domain.spec.augmenters import AFFINE_MODES, PAD_MODES
from tests.training.device import on_device
from tests.unit.training.augmenters import Form, spec_of, waves
from worker.training.augmentation import augment

X86 = platform.machine() in {"x86_64", "AMD64"}
# The largest share of the values of a form that may differ, and by how much: the sines and powers of another library
# may be rounded differently.
SHARE, LEVELS = 0.0005, 1
# When OpenCV converts HSV to RGB, it rounds on some processors and truncates on others.
BOUNDS = {"affine": (SHARE, 20), "sharpen": (0.002, 1), "add_to_hue_and_saturation": (0.4, 1)}
MEAN_ELSEWHERE = 1.0

MOVED: Form = {"scale": {"x": 0.7, "y": 1.4}, "translate_percent": {"x": 0.13, "y": -0.31}, "rotate": -33}
FORMS: list[Form] = [
    {"name": "fliplr", "p": 1},
    {"name": "flipud", "p": 1},
    {"name": "fliplr", "p": 1, "sometimes": 0},
    *({"name": "rot90", "k": k} for k in range(4)),
    *({"name": "crop_and_pad", "percent": 0.3, "pad_mode": mode, "pad_cval": 99} for mode in PAD_MODES),
    *({"name": "crop_and_pad", "percent": 2, "pad_mode": mode, "pad_cval": 255} for mode in PAD_MODES),
    *({"name": "crop_and_pad", "percent": percent} for percent in (-0.1, -0.25, -0.45, 0.05, 0.5, 1)),
    *({"name": "affine", "rotate": 20, "mode": m, "order": o, "cval": 77} for m in AFFINE_MODES for o in (0, 1, 3)),
    *({"name": "affine", **MOVED, "mode": mode, "order": order} for mode in AFFINE_MODES for order in (0, 1)),
    *({"name": "affine", "scale": scale} for scale in (0.05, 0.5, 1, 1.3, {"x": 0.8, "y": 1.5}, 20)),
    *({"name": "affine", "rotate": angle} for angle in (-90, 45, 180)),
    *({"name": "affine", "shear": shear} for shear in (20, -16, {"x": 10, "y": -30})),
    *({"name": "affine", "translate_percent": shift} for shift in (0.13, -1, {"x": 0.5, "y": -0.2})),
    {"name": "affine", **MOVED, "shear": {"x": -10, "y": 16}, "mode": "wrap"},
    *({"name": "gaussian_blur", "sigma": sigma} for sigma in (0, 0.3, 0.8, 1.5, 2, 3, 4, 6, 20)),
    {"name": "sharpen", "alpha": 0.5, "lightness": 1.3},
    {"name": "sharpen", "alpha": 1},
    {"name": "dropout", "p": 0},
    {"name": "dropout", "p": 1},
    {"name": "coarse_dropout", "p": 1, "size_percent": 0.1},
    {"name": "additive_gaussian_noise", "scale": 0},
    *({"name": "add", "value": value} for value in (-255, -100, 30)),
    *({"name": "multiply", "mul": mul} for mul in (0, 0.7, 1.2, 10)),
    *({"name": "linear_contrast", "alpha": alpha} for alpha in (0, 0.6, 1.4, 10)),
    *({"name": "gamma_contrast", "gamma": gamma} for gamma in (0.05, 0.6, 1, 2.2, 10)),
    *({"name": "grayscale", "alpha": alpha} for alpha in (0, 0.4, 1)),
    *({"name": "add_to_hue_and_saturation", "value_hue": hue} for hue in (-255, 90)),
    {"name": "add_to_hue_and_saturation", "value_hue": -40, "value_saturation": 50},
    {"name": "add_to_hue_and_saturation", "value_saturation": -255},
]


def _images(size: int) -> np.ndarray:
    """Noise, in which neighbouring pixels are unrelated, and smooth waves."""
    noise = np.random.default_rng(size).integers(0, 256, (3, size, size, 3), np.uint8)
    return np.concatenate([noise, waves(3, size)])


def _difference(form: Form, other: Form, size: int) -> np.ndarray:
    images = _images(size)
    found: np.ndarray = np.abs(on_device(spec_of(form), images).astype(int) - augment(spec_of(other), images, 1))
    return found


def _label(form: Form) -> str:
    return " ".join(f"{key}={value}" for key, value in form.items())


@pytest.mark.parametrize("form", FORMS, ids=_label)
def test_equals_imgaug(form: Form) -> None:
    """At an even size, an odd size, and the smallest allowed size."""
    share, levels = BOUNDS.get(form["name"], (SHARE, LEVELS))
    difference = np.concatenate([_difference(form, form, size).ravel() for size in (8, 21, 32)])
    if X86:
        assert difference.max() <= levels
        assert (difference > 0).mean() <= share
    else:
        assert difference.mean() <= MEAN_ELSEWHERE


@pytest.mark.parametrize(
    ("form", "other"),
    [
        ({"name": "affine", "rotate": 20}, {"rotate": -20}),
        ({"name": "affine", "rotate": 20}, {"rotate": 21}),
        ({"name": "affine", "scale": 1.3}, {"scale": 1.25}),
        ({"name": "affine", "scale": {"x": 0.8, "y": 1.5}}, {"scale": {"x": 1.5, "y": 0.8}}),
        ({"name": "affine", "shear": 20}, {"shear": {"x": 20, "y": 20}}),
        ({"name": "affine", "translate_percent": 0.13}, {"translate_percent": {"x": 0.13, "y": 0}}),
        ({"name": "affine", "rotate": 20}, {"rotate": 20, "order": 0}),
        ({"name": "affine", "rotate": 20, "cval": 9}, {"cval": 40}),
        ({"name": "gaussian_blur", "sigma": 1.5}, {"sigma": 1.3}),
        ({"name": "crop_and_pad", "percent": 0.3}, {"percent": 0.25}),
        ({"name": "multiply", "mul": 1.2}, {"mul": 1.23}),
        ({"name": "linear_contrast", "alpha": 1.4}, {"alpha": 1.35}),
        ({"name": "rot90", "k": 1}, {"k": 3}),
        ({"name": "add_to_hue_and_saturation", "value_hue": 90}, {"value_hue": 95}),
    ],
    ids=str,
)
def test_nearly_the_same_form_is_another_picture(form: Form, other: Form) -> None:
    """Shows how sensitive the bound of the mean difference is, which is used on all processors."""
    assert _difference(form, {**form, **other}, 32).mean() > MEAN_ELSEWHERE


@pytest.mark.parametrize("modes", [("pad_mode", PAD_MODES), ("mode", AFFINE_MODES)], ids=str)
def test_each_mode_is_another_picture(modes: tuple[str, tuple[str, ...]]) -> None:
    key, names = modes
    form = {"name": "crop_and_pad", "percent": 0.3} if key == "pad_mode" else {"name": "affine", "scale": 0.6}
    images = _images(21)[:1]
    ours = {name: on_device(spec_of({**form, key: name}), images).astype(int) for name in names}
    theirs = {name: augment(spec_of({**form, key: name}), images, 1) for name in names}
    for one, other in permutations(names, 2):
        assert np.abs(ours[one] - theirs[other]).mean() > MEAN_ELSEWHERE, (one, other)
