"""Augmentation on the device: TensorFlow operations within the compiled training step. Tests compare it with imgaug.

A pure function of the images and a seed, like `worker.training.augmentation.augment`, but with other random numbers: it
gives the same distribution, not the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baton.domain.spec import AugmentationSpec
from worker.training.augmentation.paper_policies import POLICIES


@dataclass(frozen=True)
class DeviceAugment:
    """The augmentation of a batch. `choose` and `steps` can be called in a tf.function, with jit_compile or without.

    Images are uint8 [n, h, w, 3] of a static shape, seeds int32 [2] from `shuffle.device_seed`.
    `choose(images, seed)`: the augmenters that apply to each image, bool [n, augmenters].
    `steps`: for each augmenter a function of (images, chosen, seed) that returns images.
    `order(seed)`: the order of the steps, computed on the host; None: always as they are listed.
    """

    choose: Callable[[Any, Any], Any]
    steps: tuple[Callable[[Any, Any, Any], Any], ...]
    order: Callable[[Any], list[int]] | None = None

    def drawn_order(self, seed: Any) -> list[int]:
        """The order of the steps, as indices into `steps`. `seed`: a numpy array, int32 [2]."""
        return list(range(len(self.steps))) if self.order is None else self.order(seed)

    def __call__(self, images: Any, seed: Any) -> Any:
        """All steps in the order in which they are listed."""
        if not self.steps:
            return images
        chosen = self.choose(images, seed)
        for step in self.steps:
            images = step(images, chosen, seed)
        return images


NOTHING = DeviceAugment(choose=lambda images, _seed: images, steps=())


# imgaug draws one of six colour spaces, two of which OpenCV computes with private tables.
_UNSUPPORTED = {"multiply_brightness"}


def unsupported(augmentation: str | AugmentationSpec) -> list[str]:
    """The parts of the augmentation that the device does not support, as short texts. Does not import TensorFlow."""
    if augmentation == "none":
        return []
    spec = POLICIES.get(augmentation) if isinstance(augmentation, str) else augmentation
    if spec is None:
        return [f"{augmentation} (an extension)"]
    names = [augmenter.name for augmenter in spec.augmenters if augmenter.name in _UNSUPPORTED]
    return list(dict.fromkeys(names))


def build_device(augmentation: str | AugmentationSpec) -> DeviceAugment:
    """The augmentation for the device. `none` has no steps.

    Raises:
        ValueError: the device does not support all of it.
    """
    missing = unsupported(augmentation)
    if missing:
        raise ValueError(f"cannot be augmented on the device: {', '.join(missing)}")
    if isinstance(augmentation, str):
        if augmentation == "none":
            return NOTHING
        augmentation = POLICIES[augmentation]
    from worker.training.augmentation.device.builder import build  # late: it imports TensorFlow

    return build(augmentation)
