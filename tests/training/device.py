"""Helpers for tests of augmentation on the device: input images, statistics of images, and distances between samples.

imgaug is called through `worker.training.augmentation.augment`. Other tests check that this function gives the same
bytes as imgaug itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from baton.domain.spec import AugmentationSpec
from worker.training.augmentation import augment
from worker.training.augmentation.device import build_device
from worker.training.input.shuffle import device_seed
from worker.training.step.inputs import Change, Share
from worker.training.step.records import record
from worker.training.step.reordered_augmentation import Reordered

SIZE = 16


def on_device(augmentation: str | AugmentationSpec, images: np.ndarray, batch: int = 0) -> np.ndarray:
    """Augment one batch without compiling, which is faster for a single batch."""
    made, tensor, seed = build_device(augmentation), tf.constant(images), _seed(batch)
    chosen = made.choose(tensor, tf.constant(seed))
    for place in made.drawn_order(seed):
        tensor = made.steps[place](tensor, chosen, tf.constant(seed))
    return _numpy(tensor)


def on_device_compiled(augmentation: str | AugmentationSpec, images: np.ndarray, batch: int = 0) -> np.ndarray:
    seed = _seed(batch)
    if build_device(augmentation).order is None:
        return _numpy(_compiled(augmentation)(tf.constant(images), tf.constant(seed)))
    share = Share(images, np.zeros(len(images), np.int32), Change(augmentation, seed))
    return _numpy(compiled_steps(augmentation)(tf.constant(images), tf.constant(record(share, 0.0)), seed))


@cache
def _compiled(augmentation: str | AugmentationSpec) -> Any:
    return tf.function(build_device(augmentation).__call__, jit_compile=True, autograph=False)


@cache
def compiled_steps(augmentation: str | AugmentationSpec) -> Reordered:
    """One compiled program for each augmenter, as used for a random order."""
    return Reordered(build_device(augmentation), picks=False, xla=True)


def _seed(batch: int) -> np.ndarray:
    return device_seed(seed=5, stage=0, epoch=0, batch=batch)


def _numpy(images: tf.Tensor) -> np.ndarray:
    found: np.ndarray = images.numpy()
    return found


def originals(n: int, seed: int = 0) -> np.ndarray:
    """Images that get brighter to the right and more so to the bottom, differently in each channel.

    No pixel is black or white.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    slope = np.stack([60 * x + 20 * y, 30 * x + 60 * y, 20 * x * y + 40 * y], axis=-1)
    base = rng.uniform(40, 110, (n, 1, 1, 3))
    texture = rng.uniform(0, 40, (n, SIZE, SIZE, 3))
    return (base + slope + texture).astype(np.uint8)


def statistics(images: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of each image: float [n]."""
    exact, half, quarter = images.astype(float), SIZE // 2, SIZE // 4
    black, colours = images == 0, exact.mean(axis=(1, 2))
    right, below = exact[:, :, half:].mean((1, 2, 3)), exact[:, half:].mean((1, 2, 3))
    red_green = exact[..., 0] - exact[..., 1]
    ring = np.ones((SIZE, SIZE), bool)
    ring[2:-2, 2:-2] = False
    dark = 256 - exact.mean(axis=3)
    places = np.arange(SIZE)
    return {
        "red": colours[:, 0],
        "blue less green": colours[:, 2] - colours[:, 1],
        "spread of the colours": colours.std(axis=1),
        "deviation of red": exact[..., 0].std(axis=(1, 2)),
        "deviation of blue": exact[..., 2].std(axis=(1, 2)),
        "right less left": right - exact[:, :, :half].mean((1, 2, 3)),
        "below less above": below - exact[:, :half].mean((1, 2, 3)),
        "crosswise": red_green[:, half:, half:].mean((1, 2)) - red_green[:, :half, half:].mean((1, 2)),
        "centre of the dark, across": (dark.sum(1) * places).sum(1) / dark.sum((1, 2)),
        "centre of the dark, down": (dark.sum(2) * places).sum(1) / dark.sum((1, 2)),
        "roughness across": np.abs(np.diff(exact, axis=2)).mean((1, 2, 3)),
        "roughness down": np.abs(np.diff(exact, axis=1)).mean((1, 2, 3)),
        "border": exact[:, ring].mean((1, 2)),
        "deviation of the border": exact[:, ring].std((1, 2)),
        "top left corner": exact[:, :quarter, :quarter].mean((1, 2, 3)),
        "black": black.mean((1, 2, 3)),
        "black in the middle": black[:, quarter:-quarter, quarter:-quarter].mean((1, 2, 3)),
        "black in some colours": (black.any(3) & ~black.all(3)).mean((1, 2)),
        "white": (images == 255).mean((1, 2, 3)),
        "changed": (images != before).mean((1, 2, 3)),
        "changed by a lot": (np.abs(exact - before) > 20).mean((1, 2, 3)),
        "unchanged": (images == before).all(axis=(1, 2, 3)).astype(float),
    }


def distances(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """The Kolmogorov-Smirnov distance of each statistic. By chance a value exceeds 2.47 once in 100,000 times."""
    return {name: _distance(ours[name], theirs[name]) for name in ours}


def _distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    places = np.concatenate([ours, theirs])
    shares = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (ours, theirs)]
    return float(np.abs(shares[0] - shares[1]).max() * np.sqrt(len(ours) * len(theirs) / len(places)))


@cache
def of_policy(augmentation: str | AugmentationSpec, device: bool, batches: int, n: int) -> dict[str, np.ndarray]:
    """The means of statistics and of their squares over each batch: float [batches].

    A batch counts as one sample, because all its images have the same order of augmenters.
    """
    images = originals(n)
    run = on_device_compiled if device else augment
    means = []
    for batch in range(batches):
        found = statistics(run(augmentation, images, batch), images)
        means.append({name: values.mean() for name, values in _with_squares(found).items()})
    return {name: np.array([mean[name] for mean in means]) for name in means[0]}


def _with_squares(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return found | {f"{name}, squared": values**2 for name, values in found.items()}


def z_scores(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """The differences of the means in standard errors. For equal means they are normal with standard deviation 1."""
    return {name: _z(ours[name], theirs[name]) for name in ours}


def _z(ours: np.ndarray, theirs: np.ndarray) -> float:
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    difference = ours.mean() - theirs.mean()
    return float(difference / error) if error else float(np.inf if difference else 0)
