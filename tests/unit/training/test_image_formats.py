"""Every format of image that is read becomes the same 8-bit RGB; what has no defined brightness is refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from baton.domain.errors import JobFailure
from tests.unit.training.pictures import picture
from worker.training.data import decode
from worker.training.data.decode import decode_rgb
from worker.training.data.formats import FORMATS, READABLE

DARK, BRIGHT, SIDE = 64, 192, 16
Make = Callable[[], bytes]

EIGHT = np.full((SIDE, SIDE), DARK, np.uint8)
EIGHT[:, SIDE // 2 :] = BRIGHT
SIXTEEN = EIGHT.astype(np.uint16) * 257
TWELVE = EIGHT.astype(np.uint16) * 16
GRAY = Image.fromarray(EIGHT)
COLOUR = GRAY.convert("RGB")
HIDDEN = np.dstack([EIGHT, EIGHT, EIGHT, np.full_like(EIGHT, 255)])
HIDDEN[:4] = (255, 0, 0, 0)  # red under transparent pixels


def file(image: Image.Image, plugin: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, plugin, **options)  # type: ignore[arg-type]  # options of each plug-in
    return out.getvalue()


def pnm(kind: str, maxval: int, values: NDArray[np.uint16]) -> bytes:
    head = f"{kind}\n{SIDE} {SIDE}\n{maxval}\n".encode()
    if kind == "P2":
        return head + " ".join(map(str, values.ravel())).encode()
    return head + values.astype(">u2").tobytes()


def pfm(values: NDArray[np.float32]) -> bytes:
    return f"Pf\n{SIDE} {SIDE}\n-1.0\n".encode() + values[::-1].astype("<f4").tobytes()


def png(colour: int, values: NDArray[np.uint16], transparent: bytes) -> bytes:
    """A PNG of 16 bits a value with a transparent colour, which Pillow does not write."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", SIDE, SIDE, 16, colour, 0, 0, 0),
        b"tRNS": transparent,
        b"IDAT": zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


def tiff(values: bytes, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed TIFF of one strip with the tags as given."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    numbers = {256: SIDE, 257: SIDE, 258: bits, 259: 1, 262: photometric, 277: 1, 278: SIDE, 279: len(values)}
    for tag, number in {**numbers, 273: 0, 339: sample_format}.items():
        tags[tag] = number
    return b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + values  # it adds the length of the tags to tag 273


def twelve_bits() -> bytes:
    pairs = TWELVE.reshape(-1, 2).astype(np.uint32)
    packed = (pairs[:, 0] << 12) | pairs[:, 1]
    return b"".join(int(pair).to_bytes(3, "big") for pair in packed)


def turned(plugin: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file(COLOUR.transpose(Image.Transpose.ROTATE_90), plugin, exif=exif, quality=95)


def animated(plugin: str) -> bytes:
    return file(COLOUR, plugin, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))], lossless=True)


FILES: dict[str, Make] = {
    "JPEG": lambda: file(COLOUR, "JPEG", quality=95),
    "JPEG in CMYK": lambda: file(COLOUR.convert("CMYK"), "JPEG", quality=95),
    "JPEG of several images": lambda: file(COLOUR, "MPO", save_all=True, append_images=[COLOUR], quality=95),
    "JPEG, turned": lambda: turned("JPEG"),
    "PNG": lambda: file(COLOUR, "PNG"),
    "PNG, turned": lambda: turned("PNG"),
    "PNG, gray": lambda: file(GRAY, "PNG"),
    "PNG, gray with alpha": lambda: file(GRAY.convert("LA"), "PNG"),
    "PNG, palette": lambda: file(COLOUR.quantize(8), "PNG"),
    "PNG, opaque alpha": lambda: file(COLOUR.convert("RGBA"), "PNG"),
    "PNG, 16 bits": lambda: file(Image.fromarray(SIXTEEN), "PNG"),
    "BMP": lambda: file(COLOUR, "BMP"),
    "DIB": lambda: file(COLOUR, "DIB"),
    "GIF, animated": lambda: animated("GIF"),
    "WebP, animated": lambda: animated("WEBP"),
    "WebP, turned": lambda: turned("WEBP"),
    "AVIF": lambda: file(COLOUR, "AVIF", quality=100),
    "JPEG 2000": lambda: file(COLOUR, "JPEG2000"),
    "JPEG 2000, 16 bits": lambda: file(Image.fromarray(SIXTEEN), "JPEG2000"),
    "PGM": lambda: file(GRAY, "PPM"),
    "PGM, 12 bits": lambda: pnm("P5", 4095, TWELVE),
    "PGM, 16 bits": lambda: pnm("P5", 65535, SIXTEEN),
    "PGM, 16 bits as text": lambda: pnm("P2", 65535, SIXTEEN),
    "PPM, 16 bits": lambda: pnm("P6", 65535, np.repeat(SIXTEEN[..., None], 3, 2)),
    "PFM": lambda: pfm(EIGHT.astype(np.float32) / 255),
    "TIFF": lambda: file(COLOUR, "TIFF"),
    "TIFF in CMYK": lambda: file(COLOUR.convert("CMYK"), "TIFF"),
    "TIFF of several pages": lambda: file(COLOUR, "TIFF", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
    "TIFF, turned": lambda: turned("TIFF"),
    "TIFF, 12 bits": lambda: tiff(twelve_bits(), 12),
    "TIFF, 16 bits": lambda: file(Image.fromarray(SIXTEEN), "TIFF"),
    "TIFF, 16 bits, big endian": lambda: file(
        Image.frombytes("I;16B", (SIDE, SIDE), SIXTEEN.astype(">u2").tobytes()), "TIFF"
    ),
    "TIFF, 16 bits, 0 is white": lambda: tiff((65535 - SIXTEEN).astype("<u2").tobytes(), 16, photometric=0),
    "TIFF, floating point": lambda: file(Image.fromarray(EIGHT.astype(np.float32) / 255), "TIFF"),
    "TIFF, floating point, 0 is white": lambda: tiff((1 - EIGHT / 255).astype("<f4").tobytes(), 32, 0, 3),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_has_the_same_brightness(name: str) -> None:
    found = decode_rgb(Path("x"), FILES[name]()).pixels
    assert (found.shape, found.dtype) == ((SIDE, SIDE, 3), np.uint8)
    # The pixels at the edge are not compared, because lossy formats blur them.
    np.testing.assert_allclose(found[2:-2, 2:6].astype(int), DARK, atol=3)
    np.testing.assert_allclose(found[2:-2, -6:-2].astype(int), BRIGHT, atol=3)


def test_every_format_of_the_table_can_be_read_here() -> None:
    assert {known.plugin for known in FORMATS} == set(READABLE)


TRANSPARENT: dict[str, Make] = {
    "RGBA": lambda: file(Image.fromarray(HIDDEN), "PNG"),
    "RGBA in WebP": lambda: file(Image.fromarray(HIDDEN), "WEBP", lossless=True, exact=True),
    "RGBA in TIFF": lambda: file(Image.fromarray(HIDDEN), "TIFF"),
    "palette": lambda: file(Image.fromarray(HIDDEN).quantize(16), "PNG"),
    "gray": lambda: file(Image.fromarray(HIDDEN).convert("LA"), "PNG"),
    "gray of 16 bits": lambda: png(0, np.where(HIDDEN[..., 3] > 0, SIXTEEN, 7), struct.pack(">H", 7)),
    "colour of 16 bits": lambda: png(
        2,
        np.where(HIDDEN[..., 3:] > 0, SIXTEEN[..., None], 7 * 257).repeat(3, 2)[..., :3],
        struct.pack(">HHH", *[7 * 257] * 3),
    ),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_pixels_are_white(name: str) -> None:
    found = decode_rgb(Path("x"), TRANSPARENT[name]())
    assert (found.pixels[:4] == 255).all()
    np.testing.assert_allclose(found.pixels[6:, 2:6].astype(int), DARK, atol=1)
    assert found.rule


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 128))
    np.testing.assert_allclose(decode_rgb(Path("x"), file(image, "PNG")).pixels.astype(int), 127, atol=1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: file(Image.fromarray(EIGHT.astype(np.int32)), "TIFF"), "integers with a sign, for which TIFF defines"),
        (lambda: tiff(EIGHT.astype("<u4").tobytes(), 32), "integers of 32 bits, for which TIFF defines no white"),
        (lambda: tiff(EIGHT.tobytes(), 8, sample_format=2), "integers with a sign"),
        (lambda: file(Image.fromarray(EIGHT.astype(np.float32)), "TIFF"), "values from 64 to 192, where 0 is black"),
        (lambda: pfm(np.full((SIDE, SIDE), np.nan, np.float32)), "values from nan to nan"),
        (lambda: pfm(np.full((SIDE, SIDE), -0.5, np.float32)), "values from -0.5 to -0.5"),
    ],
)
def test_values_without_a_defined_white_are_refused_with_the_next_step(content: Make, words: str) -> None:
    with pytest.raises(JobFailure, match=words) as caught:
        decode_rgb(Path("/d/x.tif"), content())
    assert str(caught.value).startswith("/d/x.tif: ")
    assert "convert it to 8 or 16 bits" in str(caught.value)


def test_only_images_whose_pixels_differ_from_release_0_2_have_other_content() -> None:
    """A job that has trained on the pixels of an older release resumes with the same pixels, or does not resume."""
    rules = {name for name in FILES if decode_rgb(Path("x"), FILES[name]()).rule}
    assert rules == {
        "PGM, 12 bits",
        "PGM, 16 bits",
        "PGM, 16 bits as text",
        "PFM",
        "TIFF, 12 bits",
        "TIFF, 16 bits, 0 is white",
        "TIFF, floating point",
        "TIFF, floating point, 0 is white",
    }


def test_an_image_with_more_pixels_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode._Limit, "pixels", decode._Limit.pixels)
    decode.limit_pixels(SIDE * SIDE)
    assert len(decode_rgb(Path("x"), FILES["PNG"]()).pixels) == SIDE
    decode.limit_pixels(SIDE * SIDE - 1)
    with pytest.raises(JobFailure, match=r"x: 256 pixels, more than the 255 that this .*BATON_MAX_PIXELS"):
        decode_rgb(Path("x"), FILES["PNG"]())


def test_a_format_that_runs_a_program_is_not_opened() -> None:
    with pytest.raises(JobFailure, match="no image that can be read"):
        decode_rgb(Path("x.jpg"), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")


def test_xmp_turns_a_picture_too() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    found = decode_rgb(Path("x"), file(picture(9), "JPEG", xmp=xmp, quality=100, subsampling=0)).pixels
    assert np.abs(found.astype(int) - np.rot90(np.asarray(picture(9)), -1).astype(int)).mean() < 3
