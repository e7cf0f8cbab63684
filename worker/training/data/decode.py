"""Decodes image files. Every error names the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from baton.domain.errors import JobFailure
from baton.domain.text import words_of
from worker.training.data.regular_files import open_regular


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The image as uint8 [h, w, 3]. Converts grayscale and palettes to RGB and applies the EXIF orientation.

    Raises:
        JobFailure: bad_data, the file cannot be read, is empty, is damaged or is not an image.
    """
    return decode_rgb(path, read_content(path))


def decode_rgb(path: Path, content: bytes) -> NDArray[np.uint8]:
    """The same from the file's content. `path` is used only in errors.

    Uses Pillow and not OpenCV: for a truncated JPEG, OpenCV returns half an image without an error.

    Raises:
        JobFailure: bad_data, the content is damaged or is not an image.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(_eight_bits(ImageOps.exif_transpose(image)).convert("RGB"))
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise JobFailure("bad_data", f"{path}: no image that can be read") from error
    except Exception as error:  # Pillow raises whatever its decoders do: OSError, SyntaxError, ValueError, zlib.error
        raise JobFailure("bad_data", f"{path}: broken image: {_text(error)}") from error


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The image stretched to uint8 [size, size, 3]: area averages where it shrinks, bilinear where it grows."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) > size
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def read_content(path: Path) -> bytes:
    """The file's bytes. Raises JobFailure: bad_data, the file cannot be read, is empty or no regular file."""
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise JobFailure("bad_data", f"{path}: cannot be read: {error.strerror}") from error
    if not content:
        raise JobFailure("bad_data", f"{path}: the image file is empty")
    return content


def _eight_bits(image: Any) -> Any:
    """16-bit grayscale scaled to 8 bits; Pillow's own conversion would clip everything above 255 to white."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _text(error: Exception) -> str:
    return words_of(lambda: error) or type(error).__name__
