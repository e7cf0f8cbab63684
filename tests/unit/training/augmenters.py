"""Every supported augmenter in every form of its parameters, and the published policies as notebooks build them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AFFINE_MODES, ORDERS, PAD_MODES
from worker.training.augmentation import augment
from worker.training.augmentation.imgaug_compat import ia, iaa

Form = dict[str, Any]


def _each(name: str, *forms: Form) -> list[Form]:
    return [{"name": name, **form} for form in forms]


def _channels(name: str, strength: Form) -> list[Form]:
    return _each(name, *({**strength, "per_channel": share} for share in (False, True, 0.5)))


FORMS: list[Form] = [
    *_each("fliplr", {"p": 0.7}, {"p": 1}, {"p": 0.9, "sometimes": 0.9}),
    *_each("flipud", {"p": 0.7}, {"p": 1}),
    *_each("rot90", {"k": 1}, {"k": [1, 3]}, {"k": [0, 1, 2, 3]}),
    *_each("crop_and_pad", *({"percent": 0.2, "pad_mode": mode, "pad_cval": [0, 255]} for mode in PAD_MODES)),
    *_each("crop_and_pad", {"percent": [-0.45, -0.1]}, {"percent": 2}, {"percent": -0.45}),
    *_each("crop_and_pad", {"percent": [-0.1, 0.2], "pad_mode": PAD_MODES, "pad_cval": 255}),
    *_each("affine", *({"rotate": 30, "mode": m, "order": o, "cval": [0, 255]} for m in AFFINE_MODES for o in ORDERS)),
    *_each("affine", {"scale": 0.5}, {"scale": [0.5, 1.5]}, {"scale": {"x": [0.8, 1.5], "y": 0.7}}),
    *_each("affine", {"scale": 0.05}, {"scale": 20}, {"rotate": [-360, 360], "cval": 7}),
    *_each("affine", {"translate_percent": 0.2}, {"translate_percent": [-1, 1]}),
    *_each("affine", {"translate_percent": {"x": 0.5, "y": [-0.2, 0.2]}}),
    *_each("affine", {"shear": 20}, {"shear": [-80, 80]}, {"shear": {"x": [-9, 9], "y": 30}}),
    *_each("affine", {"rotate": [-45, 45], "order": ORDERS, "mode": AFFINE_MODES, "sometimes": 0.9}),
    *_each("gaussian_blur", {"sigma": 0.8}, {"sigma": [0, 3]}, {"sigma": 20}),
    *_each("sharpen", {"alpha": 1}, {"alpha": [0, 1], "lightness": [0.5, 2]}, {"alpha": 0.5, "lightness": 10}),
    *_channels("dropout", {"p": 0.2}),
    *_each("dropout", {"p": [0.1, 0.4]}, {"p": 1}),
    *_channels("coarse_dropout", {"p": [0.3, 0.5], "size_percent": [0.02, 0.2]}),
    *_each("coarse_dropout", {"p": 0.5, "size_percent": 0.001, "min_size": 1}, {"p": 0.5, "size_percent": 1}),
    *_each("coarse_dropout", {"p": 0.9, "size_percent": 0.5, "min_size": 64}),
    *_each("cutout", {"size": 0.4}, {"size": [0.1, 0.5], "nb_iterations": [1, 5], "cval": [0, 255]}, {"size": 1}),
    *_channels("additive_gaussian_noise", {"scale": [1, 30]}),
    *_each("additive_gaussian_noise", {"scale": 255}),
    *_channels("add", {"value": [-60, 60]}),
    *_each("add", {"value": -255}, {"value": 255}, {"value": 30}),
    *_channels("multiply", {"mul": [0.5, 1.4]}),
    *_each("multiply", {"mul": 0}, {"mul": 10}),
    *_each("multiply_brightness", {"mul": [0.5, 1.5]}, {"mul": 0}, {"mul": 10}),
    *_channels("linear_contrast", {"alpha": [0.2, 1.8]}),
    *_each("linear_contrast", {"alpha": 0}, {"alpha": 10}),
    *_channels("gamma_contrast", {"gamma": [0.5, 2]}),
    *_each("gamma_contrast", {"gamma": 0.05}, {"gamma": 10}),
    *_each("grayscale", {"alpha": 1}, {"alpha": [0, 1]}),
    *_each("add_to_hue_and_saturation", {"value_hue": [-255, 255]}, {"value_hue": 90}, {"value_saturation": -255}),
    *_each("add_to_hue_and_saturation", {"value_hue": [-40, 40], "value_saturation": [-255, 255]}),
]


def spec_of(*forms: Form, **group: Any) -> AugmentationSpec:
    return AugmentationSpec.model_validate({**group, "augmenters": forms})


def waves(n: int, size: int, seed: int = 0) -> np.ndarray:
    """Smooth colourful images, so that blur, rotation and crops change something."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    phase = rng.uniform(1, 4, (n, 1, 1, 3)) * x[..., None] + rng.uniform(1, 4, (n, 1, 1, 3)) * y[..., None]
    return (127.5 + 127.5 * np.sin(2 * np.pi * phase)).astype(np.uint8)


def fingerprints() -> list[str]:
    """Fingerprints of each form of each augmenter alone, and of combinations in a random order."""
    specs = [spec_of(form) for form in FORMS]
    specs += [spec_of(*FORMS[k::12][:32], order="random", some_of=(0, 5)) for k in range(12)]
    images = waves(6, 16)
    return [hashlib.sha256(augment(spec, images, seed=3).tobytes()).hexdigest() for spec in specs]


def notebook_1() -> Any:
    """The policy of network 1, written down from the published plans."""
    return iaa.SomeOf(
        (0, None),
        [
            iaa.Affine(scale=(0.5, 1.5)),
            iaa.Affine(rotate=20),
            iaa.CoarseDropout((0.0, 0.2), size_percent=(0.05, 0.07)),
            iaa.AdditiveGaussianNoise(scale=0.05 * 255),
            iaa.CropAndPad(percent=(-0.25, 0.25)),
        ],
    )


def notebook_2(pad_modes: Any = ia.ALL, affine_modes: Any = ia.ALL) -> Any:
    """The policy of network 2.

    With `ia.ALL`, as published, the distribution is right but the bytes differ between processes.
    """
    return iaa.Sequential(
        [
            iaa.Fliplr(0.5),
            iaa.Flipud(0.2),
            iaa.Sometimes(0.5, iaa.GaussianBlur(sigma=(0, 2.0))),
            iaa.Sometimes(0.5, iaa.CropAndPad(percent=(-0.1, 0.2), pad_mode=pad_modes, pad_cval=(0, 255))),
            iaa.Sometimes(
                0.5,
                iaa.Affine(
                    scale={"x": (0.8, 1.5), "y": (0.8, 1.5)},
                    translate_percent={"x": (-0.2, 0.2), "y": (-0.2, 0.2)},
                    rotate=(-45, 45),
                    shear=(-16, 16),
                    order=[0, 1],
                    cval=(0, 255),
                    mode=affine_modes,
                ),
            ),
            iaa.Sometimes(0.5, iaa.CoarseDropout((0.03, 0.15), size_percent=(0.02, 0.05), per_channel=0.2)),
            iaa.Sometimes(0.5, iaa.Multiply((0.8, 1.2), per_channel=0.2)),
            iaa.Sometimes(0.5, iaa.ContrastNormalization((0.75, 1.5), per_channel=0.5)),
        ],
        random_order=True,
    )
