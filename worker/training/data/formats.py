"""The image formats that Baton reads: one table with the ends of their file names, and the values of white.

A deep image has more than 8 bits a value. Pillow reads it in one of its modes `I;16` (16 bits), `I` (32-bit integers)
and `F` (floating point), and its own conversion to 8 bits clips instead of scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import PurePath

from PIL import Image, features

NEXT_STEP = "convert it to 8 or 16 bits without a sign, or to floating point from 0 (black) to 1 (white)"


@dataclass(frozen=True)
class Format:
    """One format. `plugin`: Pillow's name of it. `suffixes`: the ends of its file names, in lower case.

    `white`: the value of white by Pillow mode, where black is 0. A deep mode that is missing has no defined white.
    `feature`: the part of Pillow that reads this format, if a build of Pillow may lack this part.
    """

    plugin: str
    suffixes: tuple[str, ...]
    white: Mapping[str, float] = field(default_factory=dict)
    feature: str | None = None


FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")),
    Format("PNG", (".png", ".apng"), {"I;16": 65535}),
    Format("BMP", (".bmp",)),
    Format("DIB", (".dib",)),
    Format("GIF", (".gif",)),
    Format("WEBP", (".webp",), feature="webp"),
    # Pillow scales integers of every maxval above 255 to 0..65535.
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), {"I": 65535, "F": 1.0}),
    # 12 bits are read as `I;16` too: see `white_of`. `I` are 32 bits, or 16 bits with a sign.
    Format("TIFF", (".tif", ".tiff"), {"I;16": 65535, "F": 1.0}),
    Format("AVIF", (".avif",), feature="avif"),
    Format("JPEG2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), {"I;16": 65535}, feature="jpg_2000"),
)
SUFFIXES = {suffix: known for known in FORMATS for suffix in known.suffixes}
_BY_PLUGIN = {known.plugin: known for known in FORMATS}

Image.init()
PLUGINS = tuple(name for name in _BY_PLUGIN if name in Image.OPEN)
"""Pillow's names of the formats that this build of Pillow can identify. Pillow tries no other formats, because some of
them run programs, such as Ghostscript for EPS."""

READABLE = tuple(
    name for name in PLUGINS if (needed := _BY_PLUGIN[name].feature) is None or bool(features.check(needed))
)
"""The formats in PLUGINS that this build of Pillow can also decode."""

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2


class NoDefinedWhite(ValueError):
    """The format does not define which value is white, so an image cannot be scaled to 8 bits."""


@dataclass(frozen=True)
class Depth:
    """The values of a deep image. `white`: the value of white, or of black if `inverted`."""

    white: float
    inverted: bool = False


def is_image(name: str) -> bool:
    """Whether a file has the suffix of a format that Baton reads.

    >>> is_image("photo.JFIF"), is_image("photo.heic")
    (True, False)
    """
    return PurePath(name).suffix.lower() in SUFFIXES


def missing_reader(file: PurePath) -> str | None:
    """Why this build of Pillow cannot read files of this suffix. None if it can."""
    known = SUFFIXES.get(file.suffix.lower())
    if known is None or known.feature is None:
        return None
    if known.plugin in READABLE:
        return None
    return f"Pillow {version('pillow')} of this worker is built without {known.plugin}; install Pillow 11.3 or later"


def depth_of(image: Image.Image) -> Depth | None:
    """How to scale an opened image to 8 bits. None for an image that has 8 bits or fewer.

    Raises:
        NoDefinedWhite: the format does not define the value of white; the text names the kind of values.
    """
    tags: Mapping[int, object] = getattr(image, "tag_v2", {})
    if tags and _first(tags.get(_SAMPLE_FORMAT)) == _SIGNED:
        raise NoDefinedWhite(f"integers with a sign, for which {image.format} defines no white: {NEXT_STEP}")
    mode = image.mode.partition("B")[0].rstrip("LN") if image.mode.startswith("I;16") else image.mode
    if mode not in {"I;16", "I", "F"}:
        return None
    known = _BY_PLUGIN.get(image.format or "")
    white = known.white.get(mode) if known else None
    if white is None:
        raise NoDefinedWhite(f"integers of 32 bits, for which {image.format} defines no white: {NEXT_STEP}")
    bits = _first(tags.get(_BITS))
    if mode == "I;16" and isinstance(bits, int):
        white = float(2**bits - 1)
    return Depth(white, inverted=bool(tags) and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _first(value: object) -> object:
    return value[0] if isinstance(value, tuple) and value else value
