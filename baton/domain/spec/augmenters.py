"""The augmenters that a spec may use: imgaug's, with imgaug's names for their parameters.

What is drawn is drawn for each image. Bounds are where imgaug still does something sensible on any image size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from baton.domain.spec.random_values import Between, OneOrSome, PerChannel, Range, Steps, field_of
from baton.domain.validation import NUMBER, WHOLE, FieldValueError, Model

# Sorted: imgaug's own "all" is a list made from a set of strings, in another order in each process.
PAD_MODES = (
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
)
AFFINE_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
ORDERS = (0, 1, 3)

Chance = Annotated[float, Field(ge=0, le=1), NUMBER]
Shares = Annotated[Range, Between(0, 1)]
Factor = Annotated[Range, Between(0, 10)]
SCALE, SHIFT, SHEAR = Between(0.05, 20), Between(-1, 1), Between(-80, 80)
Scale = Annotated[Range, SCALE]
Shift = Annotated[Range, SHIFT]
Shear = Annotated[Range, SHEAR]
Colour = Annotated[Range, Between(0, 255)]
WholeColour = Annotated[Steps, Between(0, 255, whole=True)]
WholeShift = Annotated[Steps, Between(-255, 255, whole=True)]


class _Augmenter(Model):
    """`sometimes`: the chance of each image to go through it; None: all do."""

    name: str
    sometimes: Chance | None = None


class Fliplr(_Augmenter):
    """Mirrors an image, left for right, with chance `p`."""

    name: Literal["fliplr"]
    p: Chance = 0.5


class Flipud(_Augmenter):
    """Turns an image upside down, as in water, with chance `p`."""

    name: Literal["flipud"]
    p: Chance = 0.5


class Rot90(_Augmenter):
    """Turns by `k` quarters, clockwise."""

    name: Literal["rot90"]
    k: Annotated[int | tuple[int, ...], OneOrSome((0, 1, 2, 3), "number of quarters")]


class CropAndPad(_Augmenter):
    """Cuts each side (negative `percent`) or pads it, by a share of the image's side, and resizes to the old size."""

    name: Literal["crop_and_pad"]
    percent: Annotated[Range, Between(-0.45, 2)]
    pad_mode: Annotated[str | tuple[str, ...], OneOrSome(PAD_MODES, "pad mode")] = "constant"
    pad_cval: WholeColour = 0


class ScaleAxes(Model):
    """A factor for each axis."""

    x: Scale
    y: Scale


class ShiftAxes(Model):
    """A share of width and height."""

    x: Shift
    y: Shift


class ShearAxes(Model):
    """Degrees for each axis."""

    x: Shear
    y: Shear


def _by_axis(axes: type[Model], both: Between) -> BeforeValidator:
    """So that an error names the axis, and no member of a union."""

    def read(value: object) -> object:
        if isinstance(value, axes):
            return value
        return axes.model_validate(value) if isinstance(value, Mapping) else both.read(value)

    return BeforeValidator(read)


class Affine(_Augmenter):
    """Scales, shifts, turns (degrees, clockwise) and shears.

    A number of `shear` is along x; what is drawn from a range is along both axes. `order` of the interpolation: 0
    nearest, 1 linear, 3 cubic. What comes from outside is `cval`, or follows `mode`.
    """

    name: Literal["affine"]
    scale: Annotated[Scale | ScaleAxes, _by_axis(ScaleAxes, SCALE)] | None = None
    translate_percent: Annotated[Shift | ShiftAxes, _by_axis(ShiftAxes, SHIFT)] | None = None
    rotate: Annotated[Range, Between(-360, 360)] | None = None
    shear: Annotated[Shear | ShearAxes, _by_axis(ShearAxes, SHEAR)] | None = None
    order: Annotated[int | tuple[int, ...], OneOrSome(ORDERS, "order")] = 1
    cval: Colour = 0.0
    mode: Annotated[str | tuple[str, ...], OneOrSome(AFFINE_MODES, "mode")] = "constant"

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        # imgaug would draw values of its own.
        if all(move is None for move in (self.scale, self.translate_percent, self.rotate, self.shear)):
            raise ValueError("needs at least one of scale, translate_percent, rotate and shear")
        return self


class GaussianBlur(_Augmenter):
    """`sigma` in pixels."""

    name: Literal["gaussian_blur"]
    sigma: Annotated[Range, Between(0, 20)]


class Sharpen(_Augmenter):
    """A sharpened image, laid over the old one with opacity `alpha`; `lightness` of its middle."""

    name: Literal["sharpen"]
    alpha: Shares
    lightness: Annotated[Range, Between(0, 10)] = 1.0


class Dropout(_Augmenter):
    """Blackens single pixels, each with chance `p`."""

    name: Literal["dropout"]
    p: Shares
    per_channel: PerChannel = False


class CoarseDropout(_Augmenter):
    """Blackens rectangles: pixels, with chance `p`, of an image of `size_percent` of the size, at least `min_size`."""

    name: Literal["coarse_dropout"]
    p: Shares
    size_percent: Annotated[Range, Between(0.001, 1)]
    per_channel: PerChannel = False
    min_size: Annotated[int, Field(ge=1, le=64), WHOLE] = 3


class Cutout(_Augmenter):
    """Fills `nb_iterations` squares, with sides of `size` of the image's, with the grey of `cval`."""

    name: Literal["cutout"]
    size: Shares
    nb_iterations: Annotated[Steps, Between(1, 100, whole=True)] = 1
    cval: Colour = 0.0


class AdditiveGaussianNoise(_Augmenter):
    """Adds to each pixel what is drawn from a normal distribution of width `scale`, in steps of 1/255."""

    name: Literal["additive_gaussian_noise"]
    scale: Colour
    per_channel: PerChannel = False


class Add(_Augmenter):
    """Adds `value` to all pixels, in steps of 1/255."""

    name: Literal["add"]
    value: WholeShift
    per_channel: PerChannel = False


class Multiply(_Augmenter):
    """Multiplies all pixels by `mul`."""

    name: Literal["multiply"]
    mul: Factor
    per_channel: PerChannel = False


class MultiplyBrightness(_Augmenter):
    """Multiplies the brightness by `mul`, in a colour space chosen for each image."""

    name: Literal["multiply_brightness"]
    mul: Factor


class LinearContrast(_Augmenter):
    """Multiplies the distance from grey (127) by `alpha`; imgaug's former ContrastNormalization."""

    name: Literal["linear_contrast"]
    alpha: Factor
    per_channel: PerChannel = False


class GammaContrast(_Augmenter):
    """Raises pixels, from 0 to 1, to the power of `gamma`."""

    name: Literal["gamma_contrast"]
    gamma: Annotated[Range, Between(0.05, 10)]
    per_channel: PerChannel = False


class Grayscale(_Augmenter):
    """Takes colour away: `alpha` 0 none of it, 1 all."""

    name: Literal["grayscale"]
    alpha: Shares


class AddToHueAndSaturation(_Augmenter):
    """Adds to hue (255: once round) and saturation."""

    name: Literal["add_to_hue_and_saturation"]
    value_hue: WholeShift | None = None
    value_saturation: WholeShift | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.value_hue is None and self.value_saturation is None:
            raise ValueError("needs value_hue, value_saturation or both")
        return self


AnyAugmenter = (
    Fliplr
    | Flipud
    | Rot90
    | CropAndPad
    | Affine
    | GaussianBlur
    | Sharpen
    | Dropout
    | CoarseDropout
    | Cutout
    | AdditiveGaussianNoise
    | Add
    | Multiply
    | MultiplyBrightness
    | LinearContrast
    | GammaContrast
    | Grayscale
    | AddToHueAndSaturation
)
AUGMENTERS: dict[str, type[_Augmenter]] = {
    get_args(model.model_fields["name"].annotation)[0]: model for model in get_args(AnyAugmenter)
}


def _read(value: object) -> object:
    """Of the class that its name says: so that an error names the field, and not the member of a union."""
    if isinstance(value, _Augmenter):
        return value
    name = field_of(value, "name")
    if not isinstance(name, str) or name not in AUGMENTERS:
        raise FieldValueError("name", f"unknown augmenter {name!r:.60}; known: {', '.join(AUGMENTERS)}")
    return AUGMENTERS[name].model_validate(value)


Augmenter = Annotated[AnyAugmenter, Field(discriminator="name"), BeforeValidator(_read)]
