"""Builds imgaug's augmenters from a spec."""

from __future__ import annotations

from typing import Any

from baton.domain.spec import AugmentationSpec
from baton.domain.spec.augmenters import AnyAugmenter
from worker.training.augmentation.imgaug_compat import iaa

CLASSES: dict[str, Any] = {
    "fliplr": iaa.Fliplr,
    "flipud": iaa.Flipud,
    "rot90": iaa.Rot90,
    "crop_and_pad": iaa.CropAndPad,
    "affine": iaa.Affine,
    "gaussian_blur": iaa.GaussianBlur,
    "sharpen": iaa.Sharpen,
    "dropout": iaa.Dropout,
    "coarse_dropout": iaa.CoarseDropout,
    "cutout": iaa.Cutout,
    "additive_gaussian_noise": iaa.AdditiveGaussianNoise,
    "add": iaa.Add,
    "multiply": iaa.Multiply,
    "multiply_brightness": iaa.MultiplyBrightness,
    "linear_contrast": iaa.LinearContrast,
    "gamma_contrast": iaa.GammaContrast,
    "grayscale": iaa.Grayscale,
    "add_to_hue_and_saturation": iaa.AddToHueAndSaturation,
}
# imgaug draws from the range of a tuple, but chooses one element of a list.
_CHOICES = {"pad_mode", "mode", "order", "k"}


def build(spec: AugmentationSpec) -> Any:
    """The imgaug augmenter for a spec."""
    children, random = [_child(augmenter) for augmenter in spec.augmenters], spec.order == "random"
    if spec.some_of is None:
        return iaa.Sequential(children, random_order=random)
    return iaa.SomeOf(spec.some_of, children, random_order=random)


def _child(augmenter: AnyAugmenter) -> Any:
    given = augmenter.model_dump(exclude={"name", "sometimes"}, exclude_none=True)
    given |= {key: list(given[key]) for key in _CHOICES & given.keys() if isinstance(given[key], tuple)}
    child = CLASSES[augmenter.name](**given)
    return child if augmenter.sometimes is None else iaa.Sometimes(augmenter.sometimes, child)
