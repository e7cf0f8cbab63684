"""Decodes image files. Every error names the file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from baton.domain.catalog import MAX_PIXELS
from baton.domain.text import words_of
from worker.training.data.failures import BrokenFile, unreadable
from worker.training.data.formats import PLUGINS, READABLE, NoDefinedWhite, depth_of, missing_reader
from worker.training.data.pixels import composited, scaled
from worker.training.data.regular_files import open_regular

# `decode_rgb` has its own limit. Its error names the file and the setting; the error of Pillow's limit names neither.
Image.MAX_IMAGE_PIXELS = None


class _Limit:
    """The most pixels of an image in this process."""

    pixels = MAX_PIXELS


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image as uint8 [h, w, 3]. `rule`: names the conversion of its pixels if release 0.2 converted differently.

    The rule is part of the image's content digest. If a job was trained on other pixels of the same file, the digests
    differ, and the resume reports changed data.
    """

    pixels: NDArray[np.uint8]
    rule: bytes = b""


def limit_pixels(most: int) -> None:
    """From now on the whole process refuses images with more pixels: decoding takes 4 bytes of memory per pixel."""
    _Limit.pixels = most


def limits() -> tuple[object, ...]:
    """The settings that decide, in addition to a file's content, whether this process can decode the file."""
    return (_Limit.pixels, *READABLE)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The image as uint8 [h, w, 3]: 8 bits, RGB, upright by its EXIF orientation, on white where it is transparent.

    Raises:
        BrokenFile: the file cannot be read, is empty, is damaged or is not an image.
    """
    return decode_rgb(path, read_content(path)).pixels


def decode_rgb(path: Path, content: bytes) -> Decoded:
    """Like `read_rgb`, from the file's content. `path` is used only in errors.

    Uses Pillow and not OpenCV: for a truncated JPEG, OpenCV returns half an image without an error.

    Raises:
        BrokenFile: the content is damaged, is not an image, has too many pixels or no defined white.
    """
    try:
        with Image.open(io.BytesIO(content), formats=PLUGINS) as image:
            if image.width * image.height > _Limit.pixels:
                raise BrokenFile(path, _too_large(image.width * image.height))
            return _decoded(image)
    except (MemoryError, BrokenFile):
        raise
    except UnidentifiedImageError as error:
        raise BrokenFile(path, missing_reader(path) or "no image that can be read") from error
    except NoDefinedWhite as error:
        raise BrokenFile(path, str(error)) from error
    except Exception as error:  # of a decoder: OSError, SyntaxError, ValueError, zlib.error
        raise BrokenFile(path, f"broken image: {_text(error)}") from error


def _decoded(image: Image.Image) -> Decoded:
    depth, plugin = depth_of(image), image.format  # `exif_transpose` returns an image without a format
    upright = ImageOps.exif_transpose(image)
    assert upright is not None
    if depth is None:
        pixels, transparent = composited(upright)
        return Decoded(pixels, b"on white" if transparent else b"")
    pixels, transparent = composited(scaled(upright, depth))
    as_before = plugin != "PPM" and depth.white == 65535 and not depth.inverted and not transparent
    return Decoded(pixels, b"" if as_before else b"scaled")


def _text(error: Exception) -> str:
    return words_of(lambda: error) or type(error).__name__


def _too_large(pixels: int) -> str:
    return (
        f"{pixels:,} pixels, more than the {_Limit.pixels:,} that this worker decodes; make the image smaller, or set "
        "BATON_MAX_PIXELS of the worker"
    )


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The image stretched to uint8 [size, size, 3]: area averages where it shrinks, bilinear where it grows."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) > size
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def read_content(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        BrokenFile: the file is missing, empty or not a regular file.
        JobFailure: bad_data, the file may not be read, or the disk or the mount fails.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    if not content:
        raise BrokenFile(path, "the image file is empty")
    return content
