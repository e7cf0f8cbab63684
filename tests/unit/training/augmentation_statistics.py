"""10,000 images through Baton's pipeline have the same statistics as 10,000 through imgaug called as in the notebooks.

Each statistic is a mean over images. Its standard error is computed from the means of independent groups of 50 images,
because imgaug draws the order of the augmenters once for a whole batch. For equal policies, z = difference / standard
error is normal with standard deviation 1. The seeds are fixed, so a test that passes once passes always.

The statistics of imgaug itself are in a file, because they take a minute. This command makes the file again:
`python -m tests.unit.training.augmentation_statistics`.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AFFINE_MODES, PAD_MODES
from tests.unit.training.augmenters import notebook_1, notebook_2
from worker.training.augmentation.paper_policies import POLICIES
from worker.training.data import Split
from worker.training.input.host_source import BatchSource

IMAGES, SIZE, BATCH = 10_000, 16, 50
FIRST = 300
"""With so many images the file is compared with the imgaug that is installed."""
IMGAUG = Path(__file__).with_name("imgaug_statistics.json")


class Statistic(NamedTuple):
    """The mean over all images, and its standard error."""

    mean: float
    error: float


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


def baton(augmentation: str | AugmentationSpec) -> dict[str, Statistic]:
    """The statistics of Baton's own pipeline, which takes every image once."""
    split, seen = originals(), []
    place: dict[str, Any] = {"seed": 101, "stage": 0, "batch_size": BATCH, "steps_per_epoch": IMAGES // BATCH}
    with BatchSource(split, policy=augmentation, processes=0, **place) as source:
        for batch in source.batches(0):
            seen.append(statistics(batch.images, split.images[batch.labels]))
    return summary({name: np.concatenate([part[name] for part in seen]) for name in seen[0]})


def notebook(policy: str, images: int) -> dict[str, Statistic]:
    """The statistics of imgaug, called for one image after another as in the notebooks."""
    # Lists of modes, because imgaug's own order of them differs between processes.
    augmenter = notebook_1() if policy == "paper-1" else notebook_2(list(PAD_MODES), list(AFFINE_MODES))
    augmenter.seed_(101)
    every: Any = originals().images
    before = every[:images]
    return summary(statistics(np.stack([augmenter.augment_image(image) for image in before]), before))


def summary(values: dict[str, np.ndarray]) -> dict[str, Statistic]:
    return {name: Statistic(float(of_each.mean()), _error(of_each)) for name, of_each in values.items()}


def _error(values: np.ndarray) -> float:
    """The standard error of the mean."""
    groups = values.reshape(-1, BATCH).mean(axis=1)
    return float(groups.std(ddof=1) / math.sqrt(len(groups)))


def imgaug(policy: str, images: int = IMAGES) -> dict[str, Statistic]:
    """The statistics from the file."""
    return {name: Statistic(*pair) for name, pair in json.loads(IMGAUG.read_text())[policy][str(images)].items()}


def z_scores(ours: dict[str, Statistic], theirs: dict[str, Statistic]) -> dict[str, float]:
    return {name: _z(ours[name], theirs[name]) for name in ours}


def _z(ours: Statistic, theirs: Statistic) -> float:
    error = math.hypot(ours.error, theirs.error)
    difference = ours.mean - theirs.mean
    return difference / error if error else math.copysign(math.inf, difference) if difference else 0.0


def report(ours: dict[str, Statistic], theirs: dict[str, Statistic]) -> str:
    rows = [
        f"{name}: {ours[name].mean:.5g} +- {ours[name].error:.2g} against {theirs[name].mean:.5g} "
        f"+- {theirs[name].error:.2g}, z = {_z(ours[name], theirs[name]):.2f}"
        for name in ours
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    made = {policy: {str(images): notebook(policy, images) for images in (FIRST, IMAGES)} for policy in POLICIES}
    IMGAUG.write_text(json.dumps(made, indent=1) + "\n")
