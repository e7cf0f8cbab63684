"""Augmentation: imgaug repaired, the published policies, the same bytes in any process."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from core.domain.catalog import AUGMENTATIONS
from worker.training.augmentation import augment
from worker.training.augmentation.imgaug_compat import iaa
from worker.training.augmentation.policies import AFFINE_MODES, PAD_MODES, POLICIES

FINGERPRINT = """
import sys
from tests.unit.training.test_augmentation import fingerprint
print(fingerprint())
"""
IMPORTS = """
import sys, numpy
from worker.training.augmentation import augment
images = numpy.zeros((1, 16, 16, 3), "uint8")
augment("none", images, 0)
assert "imgaug" not in sys.modules
augment("paper-1", images, 0)
assert "imgaug" in sys.modules
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
assert not hasattr(numpy, "sctypes")
"""


def _images(n: int, size: int, seed: int = 0) -> np.ndarray:
    """Smooth colourful images, so that blur, rotation and crops have something to move."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = rng.uniform(1, 4, (n, 1, 1, 3)) * x[..., None] + rng.uniform(1, 4, (n, 1, 1, 3)) * y[..., None]
    return (127.5 + 127.5 * np.sin(2 * np.pi * waves)).astype(np.uint8)


def fingerprint() -> str:
    digest = hashlib.sha256()
    for policy in POLICIES:
        for seed in range(20):
            digest.update(augment(policy, _images(16, 32), seed).tobytes())
    return digest.hexdigest()


def _fresh(code: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_same_bytes_in_processes_with_different_hash_seeds() -> None:
    assert _fresh(FINGERPRINT, "1") == _fresh(FINGERPRINT, "2") == fingerprint()


def test_needs_no_tensorflow_and_leaves_numpy_as_it_was() -> None:
    assert not _fresh(IMPORTS, "0")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("n", [1, 24])
def test_gives_changed_uint8_images_of_the_same_shape(policy: str, size: int, n: int) -> None:
    images = _images(n, size)
    images.flags.writeable = False
    results = [augment(policy, images, seed) for seed in range(5)]
    assert {(r.dtype, r.shape) for r in results} == {(np.dtype(np.uint8), images.shape)}
    changed = np.mean([(r != images).any(axis=(1, 2, 3)).mean() for r in results])
    assert changed > 0.5
    assert 10 < np.mean(results) < 245


@pytest.mark.parametrize("policy", POLICIES)
def test_seed_decides_whatever_was_augmented_before(policy: str) -> None:
    images, other = _images(8, 32), _images(3, 16, seed=9)
    first = augment(policy, images, 7)
    augment(policy, other, 1)
    np.testing.assert_array_equal(augment(policy, images, 7), first)
    assert not np.array_equal(augment(policy, images, 8), first)


@pytest.mark.parametrize("policy", POLICIES)
def test_given_images_stay_as_they_are(policy: str) -> None:
    """Writable ones too, and views into others: what is cached must never be augmented in place."""
    images = _images(12, 32)
    before = images.copy()
    results = [augment(policy, images[:6], seed) for seed in range(20)]
    np.testing.assert_array_equal(images, before)
    assert not any(np.shares_memory(images, result) for result in results)


def test_none_returns_the_images_themselves() -> None:
    images = _images(2, 16)
    assert augment("none", images, 3) is images


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown augmentation 'paper-3'"):
        augment("paper-3", _images(1, 16), 0)


def test_every_name_in_the_catalog_works() -> None:
    assert set(AUGMENTATIONS) == {"none", *POLICIES}


def test_some_of_takes_from_none_to_all() -> None:
    unchanged = [
        np.array_equal(augment("paper-1", image[None], i)[0], image) for i, image in enumerate(_images(90, 16))
    ]
    assert 0.05 < np.mean(unchanged) < 0.4


def _leaves(augmenter: Any) -> Iterator[Any]:
    children = [child for group in augmenter.get_children_lists() for child in group]
    for child in children:
        yield from _leaves(child)
    if not children:
        yield augmenter


def _used() -> list[Any]:
    return [leaf for policy in POLICIES.values() for leaf in _leaves(policy())]


def test_policies_hold_the_published_augmenters() -> None:
    names = [type(augmenter).__name__ for augmenter in _used()]
    first = ["Affine", "Affine", "CoarseDropout", "AdditiveGaussianNoise", "CropAndPad"]
    second = ["Fliplr", "Flipud", "GaussianBlur", "CropAndPad", "Affine", "CoarseDropout", "Multiply", "LinearContrast"]
    assert names == first + second


@pytest.mark.parametrize("index", range(13))
@pytest.mark.parametrize("size", [16, 32, 64])
def test_every_augmenter_in_use_runs_on_this_numpy(index: int, size: int) -> None:
    augmenter, images = _used()[index], _images(8, size)
    augmenter.seed_(1)
    result = augmenter.augment_images(images)
    assert (result.dtype, result.shape) == (np.uint8, images.shape)
    assert not np.array_equal(result, images)


@pytest.mark.parametrize("mode", PAD_MODES)
def test_every_pad_mode_runs(mode: str) -> None:
    padded = iaa.CropAndPad(percent=0.2, pad_mode=mode, pad_cval=(0, 255)).augment_images(_images(2, 32))
    assert (padded.dtype, padded.shape) == (np.uint8, (2, 32, 32, 3))


@pytest.mark.parametrize("mode", AFFINE_MODES)
def test_every_affine_mode_runs_at_both_orders(mode: str) -> None:
    for order in (0, 1):
        moved = iaa.Affine(rotate=30, mode=mode, order=order, cval=(0, 255)).augment_images(_images(2, 32))
        assert (moved.dtype, moved.shape) == (np.uint8, (2, 32, 32, 3))


def test_augmenters_do_what_their_names_say() -> None:
    """By formulas of our own: repaired must not mean merely running."""
    images = _images(4, 32)
    np.testing.assert_array_equal(iaa.Fliplr(1.0).augment_images(images), images[:, :, ::-1])
    np.testing.assert_array_equal(iaa.Flipud(1.0).augment_images(images), images[:, ::-1])
    darker = iaa.Multiply(0.5).augment_images(images).astype(int)
    assert np.abs(darker - images / 2).max() <= 1
    contrast = iaa.LinearContrast(0.5).augment_images(images).astype(int)
    assert np.abs(contrast - (127 + 0.5 * (images.astype(int) - 127))).max() <= 1
    np.testing.assert_array_equal(iaa.Affine(scale=1.0).augment_images(images), images)


def test_noise_and_dropout_have_the_published_strength() -> None:
    grey = np.full((64, 32, 32, 3), 128, np.uint8)
    noise = iaa.AdditiveGaussianNoise(scale=0.05 * 255, seed=1).augment_images(grey)
    assert np.std(noise.astype(float)) == pytest.approx(0.05 * 255, rel=0.05)
    dropped = iaa.CoarseDropout(0.1, size_percent=0.2, seed=1).augment_images(grey)
    assert set(np.unique(dropped)) == {0, 128}
    assert np.mean(dropped == 0) == pytest.approx(0.1, abs=0.03)
