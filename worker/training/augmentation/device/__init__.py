"""Augmentation on the device: TensorFlow operations within the compiled training step, held to imgaug by tests.

A pure function of the images and a seed, as `worker.training.augmentation.augment` is, but of other random numbers: the
same distribution, and not the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baton.domain.spec import AugmentationSpec
from worker.training.augmentation.policies import POLICIES


@dataclass(frozen=True)
class DeviceAugment:
    """How a batch is augmented. All functions can be called within a tf.function, with jit_compile or without.

    Images are uint8 [n, h, w, 3] of a static shape, seeds int32 [2] as of `order.device_seed`.
    `choose`: from images and seed, which augmenters each image goes through, bool [n, augmenters].
    `steps`: of each augmenter, from images, that choice and the seed: the images after it.
    `order`: the order of the steps for a seed on the host; None: always as they are listed.
    """

    choose: Callable[[Any, Any], Any]
    steps: tuple[Callable[[Any, Any, Any], Any], ...]
    order: Callable[[Any], list[int]] | None = None

    def drawn_order(self, seed: Any) -> list[int]:
        """The order of the steps, as places in `steps`. `seed`: a numpy array, int32 [2]."""
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


# imgaug works in one of six colour spaces, two of which OpenCV computes with tables of its own.
_LEFT_OUT = {"multiply_brightness"}


def unsupported(augmentation: str | AugmentationSpec) -> list[str]:
    """What of it cannot be done on the device, each in a few words; empty if all can. Imports no TensorFlow."""
    if augmentation == "none":
        return []
    spec = POLICIES.get(augmentation) if isinstance(augmentation, str) else augmentation
    if spec is None:
        return [f"{augmentation}, which is an extension's"]
    names = [augmenter.name for augmenter in spec.augmenters if augmenter.name in _LEFT_OUT]
    return list(dict.fromkeys(names))


def build_device(augmentation: str | AugmentationSpec) -> DeviceAugment:
    """What does it on the device. `none` has no steps.

    Raises:
        ValueError: `unsupported` names something.
    """
    left_out = unsupported(augmentation)
    if left_out:
        raise ValueError(f"cannot be augmented on the device: {', '.join(left_out)}")
    if isinstance(augmentation, str):
        if augmentation == "none":
            return NOTHING
        augmentation = POLICIES[augmentation]
    from worker.training.augmentation.device.builder import build  # only here: whoever asks what can be done need not

    return build(augmentation)
