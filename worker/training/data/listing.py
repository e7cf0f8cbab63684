"""The content of a data set before anything is decoded: classes, images and labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from baton.domain.data_identity import content_digest
from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from baton.domain.text import safe, same_everywhere
from worker.ipc.progress import advanced
from worker.training.data.decode import decode_rgb, read_content
from worker.training.data.regular_files import check_regular

REPORT_EVERY = 200
"""Files between two progress reports. On a slow mount reading the stamps of all files may exceed the stall limit."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})


@dataclass(frozen=True, eq=False)
class Listing:
    """All images of a data set: first the training images, then the official validation images, if there are any.

    `labels`: int32 [n], indexes into `class_names`. `training`: the number of training images. `identity`: everything
    that the pixels depend on. `read(i)`: image i as uint8 [h, w, 3] in its original size. `unchanged()` raises
    JobFailure if the images have changed since the listing. `names`: names of the images that are equal on every
    machine, such as the path below the data set's directory; without them an image is named by its class and its
    position in it. `content(i)`: the image as `read` returns it, and its bytes; without it the pixels are the content.
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int32]
    training: int
    identity: tuple[object, ...]
    read: Callable[[int], NDArray[np.uint8]]
    unchanged: Callable[[], None] = lambda: None
    names: tuple[str, ...] | None = None
    content: Callable[[int], tuple[NDArray[np.uint8], bytes]] | None = None

    def read_digested(self, i: int) -> tuple[NDArray[np.uint8], bytes]:
        """Image i as `read` returns it, and a digest of its content."""
        if self.content is not None:
            image, content = self.content(i)
            return image, content_digest(content)
        image = np.ascontiguousarray(self.read(i))
        return image, content_digest(repr(image.shape).encode(), image.data.cast("B"))


def bad_data(message: str) -> NoReturn:
    """Raises JobFailure with reason bad_data."""
    raise JobFailure("bad_data", message)


def root_of(spec: DatasetSpec) -> Path:
    """The data set's directory."""
    root = Path(spec.path or "").expanduser().resolve()
    if not root.is_dir():
        bad_data(f"dataset.path: {root} is no directory on this worker")
    return root


def kept_classes(spec: DatasetSpec, found: list[str], where: str) -> list[str]:
    """The classes in sorted order, or the first `dataset.classes` of them."""
    names = sorted(found)
    if len(names) < 2:
        bad_data(f"dataset.path: {where} has {len(names)} classes, training needs at least 2")
    if spec.classes is not None and spec.classes > len(names):
        bad_data(f"dataset.classes: {spec.classes} asked for, but {where} has {len(names)}")
    return names[: spec.classes]


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder in sorted order, hidden ones left out."""
    advanced()
    files = sorted(p for p in entries(folder) if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    if not files:
        bad_data(f"{folder}: a class without images")
    return files


def of_files(
    names: tuple[str, ...],
    training: list[list[Path]],
    official: list[tuple[Path, int]],
    *,
    size: int | None = None,
    root: Path | None = None,
) -> Listing:
    """A listing of image files: the training files of each class, and validation files with their labels.

    `size`: width and height in pixels that every image must have; None accepts any. `root`: the data set's directory;
    file names relative to it are equal on every machine. None: the directory that contains all files.
    """
    files = [file for group in training for file in group] + [file for file, _ in official]
    labels = [k for k, group in enumerate(training) for _ in group] + [label for _, label in official]
    identity = tuple(_stamps(files))
    top = os.path.commonpath([file.parent for file in files]) if root is None else str(root)
    return Listing(
        class_names=tuple(map(safe, names)),
        labels=np.array(labels, dtype=np.int32),
        training=len(files) - len(official),
        identity=identity,
        read=lambda i: _sized(files[i], size)[0],
        unchanged=lambda: _check_unchanged(identity, files),
        names=tuple(_below(top, str(file)) for file in files),
        content=lambda i: _sized(files[i], size),
    )


def _below(top: str, file: str) -> str:
    # Much faster than relpath, and called 110,000 times. A link may point outside the directory.
    start = top.rstrip(os.sep) + os.sep
    found = file[len(start) :] if file.startswith(start) else os.path.relpath(file, top)
    return same_everywhere(found.replace(os.sep, "/"))


def _sized(file: Path, size: int | None) -> tuple[NDArray[np.uint8], bytes]:
    content = read_content(file)
    image = decode_rgb(file, content)
    height, width = image.shape[:2]
    if size is not None and (height, width) != (size, size):
        bad_data(
            f"{file}: {width}x{height} pixels, where this data set has {size}x{size}; "
            "for images of other sizes use the data set image-folder"
        )
    return image, content


def _check_unchanged(before: tuple[tuple[str, int, int], ...], files: list[Path]) -> None:
    for old, new in zip(before, _stamps(files), strict=True):
        if old != new:
            bad_data(f"{new[0]}: changed while the data set was read; submit the job again when it no longer changes")


def entries(folder: Path) -> Iterator[Path]:
    """The entries of a folder."""
    try:
        yield from folder.iterdir()
    except OSError as error:
        bad_data(f"{folder}: cannot be read: {error.strerror}")


def _stamps(files: list[Path]) -> Iterator[tuple[str, int, int]]:
    """Each file's path, size in bytes and time of change in nanoseconds."""
    for number, file in enumerate(files):
        if number % REPORT_EVERY == 0:
            advanced()
        try:
            found = os.stat(file)  # noqa: PTH116 - a third of Path.stat's time, and this runs 110,000 times
        except OSError as error:
            bad_data(f"{file}: cannot be read: {error.strerror}")
        check_regular(file, found.st_mode)
        yield str(file), found.st_size, found.st_mtime_ns
