"""Augmentation on the device: TensorFlow operations within the compiled training step, held to imgaug by tests.

A pure function of the images and a seed, as `worker.training.augmentation.augment` is, but of other random numbers: the
same distribution, and not the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.domain.spec import AugmentationSpec
from worker.training.augmentation.policies import POLICIES

DeviceAugment = Callable[[Any, Any], Any]
"""From tensors of images, uint8 [n, h, w, 3] of a static shape, and a seed, int32 [2] as of `order.device_seed`: the
augmented images, uint8 [n, h, w, 3]. To be called within a tf.function, with jit_compile or without."""

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
    """What does it on the device. `none` gives the images as they are.

    Raises:
        ValueError: `unsupported` names something.
    """
    left_out = unsupported(augmentation)
    if left_out:
        raise ValueError(f"cannot be augmented on the device: {', '.join(left_out)}")
    if isinstance(augmentation, str):
        if augmentation == "none":
            return lambda images, _seed: images
        augmentation = POLICIES[augmentation]
    from worker.training.augmentation.device.builder import build  # only here: whoever asks what can be done need not

    return build(augmentation)
