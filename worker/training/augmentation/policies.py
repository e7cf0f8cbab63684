"""The augmentation policies of Abai and Rajmalwar (arXiv:1904.10429), as their notebooks build them from imgaug."""

from __future__ import annotations

from typing import Any

from worker.training.augmentation.imgaug_compat import iaa

# Explicit and sorted: imgaug's own "all" is a list made from a set of strings, in another order in each process.
PAD_MODES = [
    "constant",
    "edge",
    "linear_ramp",
    "maximum",
    "mean",
    "median",
    "minimum",
    "reflect",
    "symmetric",
    "wrap",
]
AFFINE_MODES = ["constant", "edge", "reflect", "symmetric", "wrap"]


def paper_1() -> Any:
    """Network 1's: for each image any number of five augmenters, from none to all."""
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


def paper_2() -> Any:
    """Network 2's: flips, and six more augmenters each in half of the cases, in an order drawn for each batch."""
    sometimes = [iaa.Sometimes(0.5, augmenter) for augmenter in _halves()]
    return iaa.Sequential([iaa.Fliplr(0.5), iaa.Flipud(0.2), *sometimes], random_order=True)


def _halves() -> list[Any]:
    return [
        iaa.GaussianBlur(sigma=(0, 2.0)),
        iaa.CropAndPad(percent=(-0.1, 0.2), pad_mode=PAD_MODES, pad_cval=(0, 255)),
        iaa.Affine(
            scale={"x": (0.8, 1.5), "y": (0.8, 1.5)},
            translate_percent={"x": (-0.2, 0.2), "y": (-0.2, 0.2)},
            rotate=(-45, 45),
            shear=(-16, 16),
            order=[0, 1],
            cval=(0, 255),
            mode=AFFINE_MODES,
        ),
        iaa.CoarseDropout((0.03, 0.15), size_percent=(0.02, 0.05), per_channel=0.2),
        iaa.Multiply((0.8, 1.2), per_channel=0.2),
        # The notebooks' ContrastNormalization is imgaug's old name of this.
        iaa.LinearContrast((0.75, 1.5), per_channel=0.5),
    ]


POLICIES = {"paper-1": paper_1, "paper-2": paper_2}
