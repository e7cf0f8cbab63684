"""The augmentation policies of Abai and Rajmalwar (arXiv:1904.10429), in the format in which users write their own."""

from __future__ import annotations

from typing import Any

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AFFINE_MODES, PAD_MODES

# For network 1: any number of five augmenters for each image, from none to all.
_PAPER_1: dict[str, Any] = {
    "some_of": [0, None],
    "augmenters": [
        {"name": "affine", "scale": [0.5, 1.5]},
        {"name": "affine", "rotate": 20},
        {"name": "coarse_dropout", "p": [0.0, 0.2], "size_percent": [0.05, 0.07]},
        {"name": "additive_gaussian_noise", "scale": 0.05 * 255},
        {"name": "crop_and_pad", "percent": [-0.25, 0.25]},
    ],
}

# For network 2: flips and six more augmenters, each in half of the cases, in an order drawn for each batch.
_PAPER_2: dict[str, Any] = {
    "order": "random",
    "augmenters": [
        {"name": "fliplr", "p": 0.5},
        {"name": "flipud", "p": 0.2},
        {"name": "gaussian_blur", "sigma": [0, 2.0], "sometimes": 0.5},
        {
            "name": "crop_and_pad",
            "percent": [-0.1, 0.2],
            "pad_mode": PAD_MODES,
            "pad_cval": [0, 255],
            "sometimes": 0.5,
        },
        {
            "name": "affine",
            "scale": {"x": [0.8, 1.5], "y": [0.8, 1.5]},
            "translate_percent": {"x": [-0.2, 0.2], "y": [-0.2, 0.2]},
            "rotate": [-45, 45],
            "shear": [-16, 16],
            "order": [0, 1],
            "cval": [0, 255],
            "mode": AFFINE_MODES,
            "sometimes": 0.5,
        },
        {
            "name": "coarse_dropout",
            "p": [0.03, 0.15],
            "size_percent": [0.02, 0.05],
            "per_channel": 0.2,
            "sometimes": 0.5,
        },
        {"name": "multiply", "mul": [0.8, 1.2], "per_channel": 0.2, "sometimes": 0.5},
        # The authors' notebooks use imgaug's old name of this augmenter, ContrastNormalization.
        {"name": "linear_contrast", "alpha": [0.75, 1.5], "per_channel": 0.5, "sometimes": 0.5},
    ],
}

POLICIES = {
    "paper-1": AugmentationSpec.model_validate(_PAPER_1),
    "paper-2": AugmentationSpec.model_validate(_PAPER_2),
}
