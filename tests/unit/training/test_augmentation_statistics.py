"""10,000 images through Baton's pipeline have the same statistics as 10,000 through imgaug called as in the notebooks.

Each statistic is a mean over images. Its standard error is computed from the means of independent groups of 50 images,
because imgaug draws the order of the augmenters once for a whole batch. For equal policies, z = difference / standard
error is normal with standard deviation 1. The seeds are fixed, so a test that passes once passes always.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

from baton.domain.spec import AugmentationSpec
from tests.unit.training.augmenters import notebook_1, notebook_2
from worker.training.augmentation.paper_policies import POLICIES
from worker.training.data import Split
from worker.training.input.host_source import BatchSource

IMAGES, SIZE, BATCH = 10_000, 16, 50
Z_LIMIT = 4.0
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Function .ContrastNormalization")]


@cache
def originals() -> Split:
    """Images that get brighter to the right and more so to the bottom.

    No pixel is black, so black pixels come from augmenters.
    """
    rng = np.random.default_rng(11)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    slope = 30 * x + 45 * y
    base = rng.uniform(60, 140, (IMAGES, 1, 1, 3))
    texture = rng.uniform(0, 40, (IMAGES, SIZE, SIZE, 3))
    images = (base + slope[..., None] + texture).astype(np.uint8)
    return Split.of(images, np.arange(IMAGES, dtype=np.int32))


def statistics(images: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of each image: float [n]."""
    exact, half = images.astype(float), SIZE // 2
    black, middle = images == 0, slice(SIZE // 4, -SIZE // 4)
    return {
        "mean": exact.mean(axis=(1, 2, 3)),
        "standard deviation": exact.std(axis=(1, 2, 3)),
        "spread of the channels": exact.mean(axis=(1, 2)).std(axis=1),
        "dropped pixels": black.mean(axis=(1, 2, 3)),
        # In the middle, neither scaling, rotation nor padding brings in black from outside.
        "dropped pixels in the middle": black[:, middle, middle].mean(axis=(1, 2, 3)),
        "images with dropped pixels": black.any(axis=(1, 2, 3)).astype(float),
        "pixels dropped in some channels": (black.any(axis=3) & ~black.all(axis=3)).mean(axis=(1, 2)),
        "flipped left for right": (exact[:, :, :half].mean((1, 2, 3)) > exact[:, :, half:].mean((1, 2, 3))).astype(
            float
        ),
        "flipped upside down": (exact[:, :half].mean((1, 2, 3)) > exact[:, half:].mean((1, 2, 3))).astype(float),
        "roughness": np.abs(np.diff(exact, axis=2)).mean(axis=(1, 2, 3)),
        "unchanged": (images == before).all(axis=(1, 2, 3)).astype(float),
    }


def baton(augmentation: str | AugmentationSpec) -> dict[str, np.ndarray]:
    """The statistics of Baton's own pipeline, which takes every image once."""
    split, seen = originals(), []
    place: dict[str, Any] = {"seed": 101, "stage": 0, "batch_size": BATCH, "steps_per_epoch": IMAGES // BATCH}
    with BatchSource(split, policy=augmentation, processes=0, **place) as source:
        for batch in source.batches(0):
            seen.append(statistics(batch.images, split.images[batch.labels]))
    return _joined(seen)


def notebook(augmenter: Any) -> dict[str, np.ndarray]:
    """The statistics of imgaug, called for one image after another as in the notebooks."""
    augmenter.seed_(101)
    images = originals().images
    augmented = np.stack([augmenter.augment_image(image) for image in images])
    return statistics(augmented, images)


def _joined(seen: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    parts = list(seen)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def z_scores(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: _z(ours[name], theirs[name]) for name in ours}


def _z(ours: np.ndarray, theirs: np.ndarray) -> float:
    error = math.hypot(_error(ours), _error(theirs))
    difference = float(ours.mean() - theirs.mean())
    return difference / error if error else math.copysign(math.inf, difference) if difference else 0.0


def _error(values: np.ndarray) -> float:
    """The standard error of the mean."""
    groups = values.reshape(-1, BATCH).mean(axis=1)
    return float(groups.std(ddof=1) / math.sqrt(len(groups)))


def report(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> str:
    rows = [
        f"{name}: {ours[name].mean():.5g} +- {_error(ours[name]):.2g} against {theirs[name].mean():.5g} "
        f"+- {_error(theirs[name]):.2g}, z = {_z(ours[name], theirs[name]):.2f}"
        for name in ours
    ]
    return "\n".join(rows)


@cache
def directly(policy: str) -> dict[str, np.ndarray]:
    return notebook({"paper-1": notebook_1, "paper-2": notebook_2}[policy]())


@pytest.mark.parametrize("policy", POLICIES)
def test_ten_thousand_images_have_the_statistics_of_imgaug_itself(policy: str) -> None:
    ours, theirs = baton(policy), directly(policy)
    assert len(ours["mean"]) == len(theirs["mean"]) == IMAGES
    print(f"\n{policy}\n{report(ours, theirs)}")
    assert max(map(abs, z_scores(ours, theirs).values())) < Z_LIMIT, report(ours, theirs)


@pytest.mark.parametrize(
    ("policy", "augmenter", "change", "seen_in"),
    [
        ("paper-1", 3, {"scale": 15}, "roughness"),
        ("paper-2", 1, {"p": 0.25}, "flipped upside down"),
        ("paper-2", 6, {"mul": [0.85, 1.25]}, "mean"),
    ],
)
def test_a_policy_that_is_a_little_off_is_found_out(
    policy: str, augmenter: int, change: dict[str, Any], seen_in: str
) -> None:
    """Shows how sensitive the comparison is: it detects these small differences."""
    off = POLICIES[policy].model_dump(mode="json")
    off["augmenters"][augmenter].update(change)
    z = z_scores(baton(AugmentationSpec.model_validate(off)), directly(policy))
    assert abs(z[seen_in]) > Z_LIMIT, z
