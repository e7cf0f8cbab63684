"""The augmenters that a spec may use: those of imgaug, with imgaug's names for their parameters.

Random values are drawn for each image. The bounds are values at which imgaug still gives a useful result at any image
size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from baton.domain.spec.random_values import Between, OneOrSome, PerChannel, Range, Steps, field_of
from baton.domain.validation import NUMBER, WHOLE, FieldValueError, Model

# Sorted. imgaug's "all" is made from a set of strings, so its order differs between processes.
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
    """Base of all augmenters. `sometimes`: the probability that an image is augmented; None: every image."""

    name: str
    sometimes: Chance | None = None


class Fliplr(_Augmenter):
    """Flips an image horizontally with probability `p`."""

    name: Literal["fliplr"]
    p: Chance = 0.5


class Flipud(_Augmenter):
    """Flips an image vertically with probability `p`."""

    name: Literal["flipud"]
    p: Chance = 0.5


class Rot90(_Augmenter):
    """Rotates by `k` quarter turns, clockwise."""

    name: Literal["rot90"]
    k: Annotated[int | tuple[int, ...], OneOrSome((0, 1, 2, 3), "number of quarters")]


class CropAndPad(_Augmenter):
    """Crops (negative `percent`) or pads each side by a share of its length, then resizes to the original size."""

    name: Literal["crop_and_pad"]
    percent: Annotated[Range, Between(-0.45, 2)]
    pad_mode: Annotated[str | tuple[str, ...], OneOrSome(PAD_MODES, "pad mode")] = "constant"
    pad_cval: WholeColour = 0


class ScaleAxes(Model):
    """A scale factor for each axis."""

    x: Scale
    y: Scale


class ShiftAxes(Model):
    """A shift for each axis, as a share of width and height."""

    x: Shift
    y: Shift


class ShearAxes(Model):
    """A shear angle for each axis, in degrees."""

    x: Shear
    y: Shear


def _by_axis(axes: type[Model], both: Between) -> BeforeValidator:
    """Reads a value for both axes, or one for each. An error then names the axis, not a member of a union."""

    def read(value: object) -> object:
        if isinstance(value, axes):
            return value
        return axes.model_validate(value) if isinstance(value, Mapping) else both.read(value)

    return BeforeValidator(read)


class Affine(_Augmenter):
    """Scales, shifts, rotates (degrees, clockwise) and shears.

    A single number for `shear` applies to x; a value drawn from a range applies to both axes. `order` of the
    interpolation: 0 nearest, 1 linear, 3 cubic. New pixels get `cval`, or are filled by `mode`.
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
        # Without a parameter, imgaug would use its own random defaults.
        if all(move is None for move in (self.scale, self.translate_percent, self.rotate, self.shear)):
            raise ValueError("needs at least one of scale, translate_percent, rotate and shear")
        return self


class GaussianBlur(_Augmenter):
    """Blurs with a Gaussian kernel. `sigma` in pixels."""

    name: Literal["gaussian_blur"]
    sigma: Annotated[Range, Between(0, 20)]


class Sharpen(_Augmenter):
    """Blends a sharpened copy into the image with opacity `alpha`. `lightness`: brightness of the copy."""

    name: Literal["sharpen"]
    alpha: Shares
    lightness: Annotated[Range, Between(0, 10)] = 1.0


class Dropout(_Augmenter):
    """Sets single pixels to black, each with probability `p`."""

    name: Literal["dropout"]
    p: Shares
    per_channel: PerChannel = False


class CoarseDropout(_Augmenter):
    """Sets rectangles to black: dropout with probability `p` on a mask, which is then enlarged to the image's size. The
    mask has `size_percent` of the image's size, but at least `min_size` pixels.
    """

    name: Literal["coarse_dropout"]
    p: Shares
    size_percent: Annotated[Range, Between(0.001, 1)]
    per_channel: PerChannel = False
    min_size: Annotated[int, Field(ge=1, le=64), WHOLE] = 3


class Cutout(_Augmenter):
    """Fills `nb_iterations` squares with the grey value `cval`. `size`: their side as a share of the image's side."""

    name: Literal["cutout"]
    size: Shares
    nb_iterations: Annotated[Steps, Between(1, 100, whole=True)] = 1
    cval: Colour = 0.0


class AdditiveGaussianNoise(_Augmenter):
    """Adds normally distributed noise to each pixel. `scale`: its standard deviation, in steps of 1/255."""

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
    """Multiplies the brightness by `mul`, in a colour space that is drawn for each image."""

    name: Literal["multiply_brightness"]
    mul: Factor


class LinearContrast(_Augmenter):
    """Multiplies the distance from grey (127) by `alpha`. Its former name in imgaug is ContrastNormalization."""

    name: Literal["linear_contrast"]
    alpha: Factor
    per_channel: PerChannel = False


class GammaContrast(_Augmenter):
    """Raises pixels, scaled to 0..1, to the power of `gamma`."""

    name: Literal["gamma_contrast"]
    gamma: Annotated[Range, Between(0.05, 10)]
    per_channel: PerChannel = False


class Grayscale(_Augmenter):
    """Blends in a grey copy of the image. `alpha`: 0 keeps all colour, 1 removes it."""

    name: Literal["grayscale"]
    alpha: Shares


class AddToHueAndSaturation(_Augmenter):
    """Adds to hue (255 is a full circle) and to saturation."""

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
    """Validates by the class for `name`. An error then names the field, not a member of the union."""
    if isinstance(value, _Augmenter):
        return value
    name = field_of(value, "name")
    if not isinstance(name, str) or name not in AUGMENTERS:
        raise FieldValueError("name", f"unknown augmenter {name!r:.60}; known: {', '.join(AUGMENTERS)}")
    return AUGMENTERS[name].model_validate(value)


Augmenter = Annotated[AnyAugmenter, Field(discriminator="name"), BeforeValidator(_read)]
