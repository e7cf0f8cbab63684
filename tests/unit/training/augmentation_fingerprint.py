"""The fingerprint of augmented images, to compare processes."""

import hashlib

import yaml

from baton.domain.spec import AugmentationSpec
from tests.unit.training.augmenters import waves
from worker.training.augmentation import augment
from worker.training.augmentation.paper_policies import POLICIES

OWN = yaml.safe_load("""
order: random
some_of: [0, 3]
augmenters:
  - {name: fliplr, p: 0.5}
  - {name: affine, rotate: [-20, 20], scale: [0.8, 1.2], mode: reflect, sometimes: 0.5}
  - {name: coarse_dropout, p: [0.03, 0.15], size_percent: 0.2, per_channel: 0.2}
  - {name: add_to_hue_and_saturation, value_hue: [-20, 20], value_saturation: [-30, 30]}
""")


def own() -> AugmentationSpec:
    return AugmentationSpec.model_validate(OWN)


EVERY = [*POLICIES, own()]


def fingerprint() -> str:
    digest = hashlib.sha256()
    for augmentation in EVERY:
        for seed in range(20):
            digest.update(augment(augmentation, waves(16, 32), seed).tobytes())
    return digest.hexdigest()
