"""Makes 8-bit RGB of an opened image: deep values are scaled, transparent pixels are put on a white background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.training.data.formats import NEXT_STEP, Depth, NoDefinedWhite

BACKGROUND = (255, 255, 255)
"""The colour under transparent pixels."""

_LEVELS = 256
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def scaled(image: Image.Image, depth: Depth) -> Image.Image:
    """Scales a deep image to 8 bits a value. `image`: in mode I;16, I or F.

    Integers keep their 8 upper bits, like the colours of deep images in Pillow. Floating point is rounded.

    Raises:
        NoDefinedWhite: values are below black or above white.
    """
    values = np.asarray(image)
    _check_range(values, depth.white)
    if values.dtype.kind == "f":
        eight = np.rint(values * (255 / depth.white)).astype(np.uint8)
    else:
        eight = (values.astype(np.int64) * _LEVELS // (int(depth.white) + 1)).astype(np.uint8)
    made = Image.fromarray(255 - eight if depth.inverted else eight)
    key = image.info.get("transparency")
    if isinstance(key, int):
        made.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return made


def _check_range(values: NDArray[Any], white: float) -> None:
    least, most = values.min(), values.max()
    if not (least >= 0 and most <= white):  # also of NaN
        raise NoDefinedWhite(f"values from {least:g} to {most:g}, where 0 is black and {white:g} is white: {NEXT_STEP}")


def composited(image: Image.Image) -> tuple[NDArray[np.uint8], bool]:
    """The image as uint8 [h, w, 3] on BACKGROUND, and whether any pixel was transparent. `image` has at most 8 bits."""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), False
    straight = image.convert(_PREMULTIPLIED[image.mode]) if image.mode in _PREMULTIPLIED else image
    rgba = _with_alpha(straight)
    if rgba.getchannel("A").getextrema()[0] == 255:
        return np.asarray(rgba.convert("RGB")), False
    background = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
    return np.asarray(Image.alpha_composite(background, rgba).convert("RGB")), True


def _with_alpha(image: Image.Image) -> Image.Image:
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # A PNG of 16 bits a value: Pillow has scaled its pixels and not its transparent colour.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image.convert("RGBA")
