"""Augmentation: the published policies, their declarative form, and the same bytes in all processes."""

import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import yaml

from baton.domain.catalog import AUGMENTATIONS
from baton.domain.errors import JobFailure
from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AFFINE_MODES, PAD_MODES
from tests.unit.training.augmentation_fingerprint import EVERY, fingerprint, own
from tests.unit.training.augmenters import notebook_1, notebook_2, waves
from worker.training.augmentation import augment
from worker.training.augmentation.paper_policies import POLICIES

FINGERPRINT = "from tests.unit.training.augmentation_fingerprint import fingerprint; print(fingerprint())"
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
PUBLISHED = yaml.safe_load("""
paper-1:
  some_of: [0, null]
  augmenters:
    - {name: affine, scale: [0.5, 1.5]}
    - {name: affine, rotate: 20}
    - {name: coarse_dropout, p: [0.0, 0.2], size_percent: [0.05, 0.07]}
    - {name: additive_gaussian_noise, scale: 12.75}
    - {name: crop_and_pad, percent: [-0.25, 0.25]}
paper-2:
  order: random
  augmenters:
    - {name: fliplr, p: 0.5}
    - {name: flipud, p: 0.2}
    - {name: gaussian_blur, sigma: [0, 2.0], sometimes: 0.5}
    - name: crop_and_pad
      percent: [-0.1, 0.2]
      pad_mode: [constant, edge, linear_ramp, maximum, mean, median, minimum, reflect, symmetric, wrap]
      pad_cval: [0, 255]
      sometimes: 0.5
    - name: affine
      scale: {x: [0.8, 1.5], y: [0.8, 1.5]}
      translate_percent: {x: [-0.2, 0.2], y: [-0.2, 0.2]}
      rotate: [-45, 45]
      shear: [-16, 16]
      order: [0, 1]
      cval: [0, 255]
      mode: [constant, edge, reflect, symmetric, wrap]
      sometimes: 0.5
    - {name: coarse_dropout, p: [0.03, 0.15], size_percent: [0.02, 0.05], per_channel: 0.2, sometimes: 0.5}
    - {name: multiply, mul: [0.8, 1.2], per_channel: 0.2, sometimes: 0.5}
    - {name: linear_contrast, alpha: [0.75, 1.5], per_channel: 0.5, sometimes: 0.5}
""")


def _fresh(code: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.process
def test_same_bytes_in_processes_with_different_hash_seeds() -> None:
    assert _fresh(FINGERPRINT, "1") == _fresh(FINGERPRINT, "2") == fingerprint()


@pytest.mark.process
def test_needs_no_tensorflow_and_leaves_numpy_as_it_was() -> None:
    assert not _fresh(IMPORTS, "0")


def _direct(augmenter: Any, images: np.ndarray, seed: int) -> np.ndarray:
    augmenter.seed_(seed)
    result: np.ndarray = augmenter.augment_images(images)
    return result


@pytest.mark.filterwarnings("ignore:Function .ContrastNormalization")
@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_imgaug_as_published_to_the_byte(policy: str, size: int) -> None:
    """Compare the built-in policy, the policy written in YAML, and the policy built from imgaug directly."""
    direct = {"paper-1": notebook_1(), "paper-2": notebook_2(list(PAD_MODES), list(AFFINE_MODES))}[policy]
    written = AugmentationSpec.model_validate(PUBLISHED[policy])
    for seed in range(20):
        wanted = _direct(direct, waves(24, size), seed)
        np.testing.assert_array_equal(augment(policy, waves(24, size), seed), wanted)
        np.testing.assert_array_equal(augment(written, waves(24, size), seed), wanted)


@pytest.mark.parametrize("augmentation", EVERY, ids=str)
@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("n", [1, 24])
def test_gives_changed_uint8_images_of_the_same_shape(augmentation: Any, size: int, n: int) -> None:
    images = waves(n, size)
    images.flags.writeable = False
    results = [augment(augmentation, images, seed) for seed in range(5)]
    assert {(r.dtype, r.shape) for r in results} == {(np.dtype(np.uint8), images.shape)}
    changed = np.mean([(r != images).any(axis=(1, 2, 3)).mean() for r in results])
    assert changed > 0.3
    assert 10 < np.mean(results) < 245


@pytest.mark.parametrize("augmentation", EVERY, ids=str)
def test_seed_decides_whatever_was_augmented_before(augmentation: Any) -> None:
    images, other = waves(8, 32), waves(3, 16, seed=9)
    first = augment(augmentation, images, 7)
    augment(augmentation, other, 1)
    np.testing.assert_array_equal(augment(augmentation, images, 7), first)
    assert not np.array_equal(augment(augmentation, images, 8), first)


@pytest.mark.parametrize("augmentation", EVERY, ids=str)
def test_given_images_stay_as_they_are(augmentation: Any) -> None:
    """This includes writable arrays and views: cached images must never be augmented in place."""
    images = waves(12, 32)
    before = images.copy()
    results = [augment(augmentation, images[:6], seed) for seed in range(20)]
    np.testing.assert_array_equal(images, before)
    assert not any(np.shares_memory(images, result) for result in results)


def test_a_spec_travels_to_another_process() -> None:
    travelled = pickle.loads(pickle.dumps(own()))
    assert (travelled, hash(travelled)) == (own(), hash(own()))
    np.testing.assert_array_equal(augment(travelled, waves(9, 16), 4), augment(own(), waves(9, 16), 4))


def test_none_returns_the_images_themselves() -> None:
    images = waves(2, 16)
    assert augment("none", images, 3) is images


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(JobFailure, match="augmentation paper-3 is not installed"):
        augment("paper-3", waves(1, 16), 0)


def test_every_name_in_the_catalog_works() -> None:
    assert set(AUGMENTATIONS) == {"none", *POLICIES}


def test_some_of_takes_from_none_to_all() -> None:
    unchanged = [np.array_equal(augment("paper-1", image[None], i)[0], image) for i, image in enumerate(waves(90, 16))]
    assert 0.05 < np.mean(unchanged) < 0.4
