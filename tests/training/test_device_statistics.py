"""Augmentation on the device with randomness, compared with imgaug: other bytes, the same statistics.

For an augmenter, the distribution of each statistic over a thousand images is compared. For a policy, means over
batches are compared. The seeds are fixed, so a test that passes once passes always. Forms with slightly different
parameters show how sensitive the bounds are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AFFINE_MODES, PAD_MODES
from tests.training.device import distances, of_policy, on_device, originals, statistics, z_scores
from tests.unit.training.augmenters import Form, spec_of
from worker.training.augmentation import augment
from worker.training.augmentation.paper_policies import POLICIES

pytestmark = pytest.mark.slow

IMAGES, LIMIT = 1000, 2.47
BATCHES, BATCH, Z_LIMIT = 100, 50, 4.0

SHARES: list[bool | float] = [False, True, 0.4]
AFFINE: Form = {"scale": [0.8, 1.5], "rotate": [-45, 45], "shear": [-16, 16], "cval": [0, 255]}
AXES: Form = {"scale": {"x": [0.6, 1], "y": [1, 1.5]}, "translate_percent": {"x": [-0.3, 0.1], "y": [0, 0.2]}}
FORMS: list[Form] = [
    {"name": "fliplr", "p": 0.7},
    {"name": "flipud", "p": 0.2},
    {"name": "fliplr", "p": 0.8, "sometimes": 0.6},
    {"name": "rot90", "k": (1, 2, 3, 3)},
    *({"name": "crop_and_pad", "percent": [-0.2, 0.4], "pad_mode": mode, "pad_cval": [0, 255]} for mode in PAD_MODES),
    {"name": "crop_and_pad", "percent": [-0.45, 0.1], "pad_mode": PAD_MODES, "sometimes": 0.5},
    *({"name": "affine", **AFFINE, "mode": mode, "order": (0, 1)} for mode in AFFINE_MODES),
    {"name": "affine", **AXES, "mode": AFFINE_MODES, "order": (0, 1, 3)},
    {"name": "affine", "translate_percent": [-0.3, 0.2]},
    {"name": "affine", "shear": {"x": [-30, 10], "y": [0, 20]}, "mode": "edge"},
    {"name": "gaussian_blur", "sigma": [0, 2.0]},
    {"name": "sharpen", "alpha": [0, 1], "lightness": [0.5, 2]},
    *({"name": "dropout", "p": [0.1, 0.3], "per_channel": share} for share in SHARES),
    *({"name": "coarse_dropout", "p": [0, 0.3], "size_percent": [0.1, 0.6], "per_channel": share} for share in SHARES),
    {"name": "cutout", "size": [0.1, 0.5], "nb_iterations": [1, 4], "cval": [0, 255]},
    *({"name": "additive_gaussian_noise", "scale": [1, 30], "per_channel": share} for share in SHARES),
    *({"name": "add", "value": [-60, 60], "per_channel": share} for share in SHARES),
    *({"name": "multiply", "mul": [0.5, 1.6], "per_channel": share} for share in SHARES),
    *({"name": "linear_contrast", "alpha": [0.2, 1.8], "per_channel": share} for share in SHARES),
    *({"name": "gamma_contrast", "gamma": [0.5, 2], "per_channel": share} for share in SHARES),
    {"name": "grayscale", "alpha": [0, 1]},
    {"name": "add_to_hue_and_saturation", "value_hue": [-90, 30], "value_saturation": [-60, 120]},
]


def _label(form: Form) -> str:
    return " ".join(f"{key}={value}" for key, value in form.items())


@cache
def _ours(spec: AugmentationSpec) -> dict[str, np.ndarray]:
    images = originals(IMAGES)
    return statistics(on_device(spec, images), images)


def _theirs(spec: AugmentationSpec) -> dict[str, np.ndarray]:
    images = originals(IMAGES)
    return statistics(augment(spec, images, 3), images)


@pytest.mark.parametrize("form", FORMS, ids=_label)
def test_an_augmenter_has_the_distributions_of_imgaug(form: Form) -> None:
    found = distances(_ours(spec_of(form)), _theirs(spec_of(form)))
    assert max(found.values()) < LIMIT, found


TURNED: Form = {"name": "affine", **AFFINE, "mode": "edge", "order": (0, 1)}
PADDED: Form = {"name": "crop_and_pad", "percent": [-0.2, 0.4], "pad_cval": [0, 255]}
DROPPED: Form = {"name": "coarse_dropout", "p": [0, 0.3], "size_percent": [0.1, 0.6], "per_channel": False}
SQUARES: Form = {"name": "cutout", "size": [0.1, 0.5], "nb_iterations": [1, 4], "cval": [0, 255]}
NOISY: Form = {"name": "additive_gaussian_noise", "scale": [1, 30], "per_channel": False}
OFF: list[tuple[Form, Form, str]] = [
    ({"name": "fliplr", "p": 0.7}, {"p": 0.5}, "right less left"),
    ({"name": "rot90", "k": (1, 2, 3, 3)}, {"k": (1, 1, 2, 3)}, "right less left"),
    (TURNED, {"rotate": [-45, 30]}, "right less left"),
    (TURNED, {"mode": "wrap"}, "below less above"),
    (TURNED, {"order": 1}, "roughness across"),
    ({"name": "affine", **AXES, "mode": AFFINE_MODES, "order": (0, 1, 3)}, {"scale": [0.6, 1.5]}, "below less above"),
    ({"name": "affine", "shear": {"x": [-30, 10], "y": [0, 20]}, "mode": "edge"}, {"shear": [-30, 10]}, "crosswise"),
    ({**PADDED, "pad_mode": "edge"}, {"percent": [-0.2, 0.3]}, "below less above"),
    ({**PADDED, "pad_mode": "edge"}, {"pad_mode": "symmetric"}, "roughness down"),
    ({**PADDED, "pad_mode": "symmetric"}, {"pad_mode": "reflect"}, "deviation of red"),
    ({**PADDED, "pad_mode": "constant"}, {"pad_mode": "linear_ramp"}, "roughness across"),
    ({**PADDED, "pad_mode": "constant"}, {"pad_cval": [0, 200]}, "top left corner"),
    ({"name": "gaussian_blur", "sigma": [0, 2.0]}, {"sigma": [0, 2.5]}, "roughness across"),
    ({"name": "sharpen", "alpha": [0, 1], "lightness": [0.5, 2]}, {"lightness": 1}, "red"),
    ({"name": "dropout", "p": [0.1, 0.3], "per_channel": 0.4}, {"per_channel": 0.2}, "black in some colours"),
    (DROPPED, {"size_percent": [0.1, 0.4]}, "roughness across"),
    (DROPPED, {"p": [0, 0.2]}, "black"),
    (SQUARES, {"nb_iterations": 2}, "changed"),
    (NOISY, {"scale": [1, 25]}, "roughness across"),
    ({"name": "add", "value": [-60, 60], "per_channel": False}, {"value": [-40, 60]}, "red"),
    ({"name": "multiply", "mul": [0.5, 1.6], "per_channel": 0.4}, {"per_channel": False}, "spread of the colours"),
    ({"name": "linear_contrast", "alpha": [0.2, 1.8], "per_channel": 0.4}, {"per_channel": False}, "changed by a lot"),
    ({"name": "gamma_contrast", "gamma": [0.5, 2], "per_channel": False}, {"gamma": [0.5, 1.7]}, "red"),
    ({"name": "grayscale", "alpha": [0, 1]}, {"alpha": [0.3, 1]}, "roughness down"),
]


@pytest.mark.parametrize(("form", "change", "seen_in"), OFF, ids=str)
def test_an_augmenter_that_is_a_little_off_is_found_out(form: Form, change: Form, seen_in: str) -> None:
    found = distances(_ours(spec_of(form)), _theirs(spec_of({**form, **change})))
    assert found[seen_in] > LIMIT, found


def _policy(augmentation: str | AugmentationSpec, device: bool) -> dict[str, np.ndarray]:
    return of_policy(augmentation, device, BATCHES, BATCH)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_has_the_statistics_of_imgaug(policy: str) -> None:
    found = z_scores(_policy(policy, device=True), _policy(policy, device=False))
    assert max(map(abs, found.values())) < Z_LIMIT, found


@pytest.mark.parametrize(
    ("policy", "augmenter", "change", "seen_in"),
    [
        ("paper-1", 1, {"rotate": -20}, "crosswise"),
        ("paper-1", 2, {"p": [0.0, 0.3]}, "black in the middle"),
        ("paper-1", 3, {"scale": 15}, "roughness across"),
        ("paper-1", 4, {"percent": [-0.25, 0.15]}, "border"),
        ("paper-2", 1, {"p": 0.3}, "below less above"),
        ("paper-2", 4, {"mode": "constant"}, "deviation of the border"),
        ("paper-2", 5, {"per_channel": 0.35}, "black in some colours"),
        ("paper-2", 7, {"alpha": [0.9, 1.7]}, "spread of the colours"),
    ],
)
def test_a_policy_that_is_a_little_off_is_found_out(
    policy: str, augmenter: int, change: dict[str, Any], seen_in: str
) -> None:
    off = POLICIES[policy].model_dump(mode="json")
    off["augmenters"][augmenter].update(change)
    found = z_scores(_policy(policy, device=True), _policy(AugmentationSpec.model_validate(off), device=False))
    assert abs(found[seen_in]) > Z_LIMIT, found


def test_some_of_takes_each_augmenter_alike_and_from_none_to_all() -> None:
    """Each of the three augmenters adds another power of two, so the result shows which were applied."""
    marks: list[Form] = [
        {"name": "add", "value": 1},
        {"name": "add", "value": 2},
        {"name": "add", "value": 4},
    ]
    images = np.full((3000, 8, 8, 3), 100, np.uint8)
    taken = on_device(spec_of(*marks, some_of=[0, None]), images)[:, 0, 0, 0] - 100
    shares = np.bincount(taken, minlength=8) / len(taken)
    wanted = [1 / 4, 1 / 12, 1 / 12, 1 / 12, 1 / 12, 1 / 12, 1 / 12, 1 / 4]
    np.testing.assert_allclose(shares, wanted, atol=4 * np.sqrt(3 / 16 / len(taken)))


def test_a_random_order_is_drawn_for_each_batch_and_each_order_alike() -> None:
    """The three augmenters do not commute, so the result shows their order."""
    forms: list[Form] = [
        {"name": "add", "value": 60},
        {"name": "multiply", "mul": 0.5},
        {"name": "linear_contrast", "alpha": 0.5},
    ]
    images, seen = np.full((4, 8, 8, 3), 100, np.uint8), []
    for batch in range(180):
        (found,) = np.unique(on_device(spec_of(*forms, order="random"), images, batch))
        seen.append(int(found))
    counts = [seen.count(result) for result in (103, 71, 118, 148, 86, 116)]
    assert sum(counts) == len(seen)
    assert all(abs(count - 30) < 4 * np.sqrt(180 * 5 / 36) for count in counts), counts
