"""The classes, images and labels of a data set, before any image is decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baton.domain.data_identity import content_digest
from baton.domain.image_counts import Split
from baton.domain.spec import DatasetSpec
from baton.domain.text import safe, same_everywhere
from worker.ipc.progress import advanced
from worker.training.data.decode import decode_rgb, read_content
from worker.training.data.failures import BrokenFile, bad_data, unreadable
from worker.training.data.left_out import LeftOut

REPORT_EVERY = 200
"""Files between two progress reports. On a slow mount, reading the times of all files may take longer than the stall
limit."""

Labelled = tuple[Path, int]
"""An image file and its label."""


@dataclass(frozen=True, eq=False)
class Listing:
    """All images of a data set: first the training images, then the official images for validation and for the test.

    `labels`: int32 [n], indexes into `class_names`. `training`: the number of training images. `testing`: the number of
    official test images, which come last. `identity`: everything that the pixels depend on. `read(i)`: image i as uint8
    [h, w, 3] in its original size. `unchanged()` raises JobFailure if the images have changed since the listing.
    `names`: names of the images that are equal on every machine, such as the path below the data set's directory; None:
    an image is named by its class and its position in the class. `content(i)`: the image as `read` returns it, and the
    bytes from which its pixels are made; None: the pixels are the content. `split`: the split if the spec has none;
    None: the default by the data set's name. `left_out`: the files that are not used.
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int32]
    training: int
    identity: tuple[object, ...]
    read: Callable[[int], NDArray[np.uint8]]
    unchanged: Callable[[], None] = lambda: None
    names: tuple[str, ...] | None = None
    content: Callable[[int], tuple[NDArray[np.uint8], bytes]] | None = None
    testing: int = 0
    split: Split | None = None
    left_out: LeftOut = field(default_factory=LeftOut)

    def read_digested(self, i: int) -> tuple[NDArray[np.uint8], bytes]:
        """Image i as `read` returns it, and a digest of its content."""
        if self.content is not None:
            image, content = self.content(i)
            return image, content_digest(content)
        image = np.ascontiguousarray(self.read(i))
        return image, content_digest(repr(image.shape).encode(), image.data.cast("B"))


def root_of(spec: DatasetSpec) -> Path:
    """The data set's directory."""
    root = Path(spec.path or "").expanduser().resolve()
    if not root.is_dir():
        bad_data(f"dataset.path: {root} is no directory on this worker")
    return root


def kept_classes(spec: DatasetSpec, found: Sequence[str], where: str, next_step: str = "") -> list[str]:
    """The classes in sorted order, or the first `dataset.classes` of them. `next_step`: what to do if they are few."""
    names = sorted(found)
    if len(names) < 2:
        bad_data(f"dataset.path: {where} has {len(names)} classes, training needs at least 2{next_step}")
    if spec.classes is not None and spec.classes > len(names):
        bad_data(f"dataset.classes: {spec.classes} asked for, but {where} has {len(names)}")
    return names[: spec.classes]


def of_files(
    names: tuple[str, ...],
    training: Sequence[Sequence[Path]],
    official: Sequence[Labelled],
    *,
    size: int | None = None,
    root: Path | None = None,
    testing: Sequence[Labelled] = (),
    split: Split | None = None,
    left_out: LeftOut | None = None,
) -> Listing:
    """A listing of image files: the training files of each class, and validation files with their labels.

    `size`: width and height in pixels that every image must have; None accepts any. `root`: the data set's directory;
    file names relative to it are equal on every machine. None: the directory that contains all files. `testing`: test
    files with their labels. `split`, `left_out`: see Listing.
    """
    others = [*official, *testing]
    files = [file for group in training for file in group] + [file for file, _ in others]
    labels = [k for k, group in enumerate(training) for _ in group] + [label for _, label in others]
    identity = tuple(_stamps(files))
    top = os.path.commonpath([file.parent for file in files]) if root is None else str(root)
    return Listing(
        class_names=tuple(map(safe, names)),
        labels=np.array(labels, dtype=np.int32),
        training=len(files) - len(others),
        identity=identity,
        read=lambda i: _sized(files[i], size)[0],
        unchanged=lambda: _check_unchanged(identity, files),
        names=tuple(_below(top, str(file)) for file in files),
        content=lambda i: _sized(files[i], size),
        testing=len(testing),
        split=split,
        left_out=left_out or LeftOut(),
    )


def _below(top: str, file: str) -> str:
    # Much faster than relpath, and called 110,000 times. A link may point outside the directory.
    start = top.rstrip(os.sep) + os.sep
    found = file[len(start) :] if file.startswith(start) else os.path.relpath(file, top)
    return same_everywhere(found.replace(os.sep, "/"))


def _sized(file: Path, size: int | None) -> tuple[NDArray[np.uint8], bytes]:
    content = read_content(file)
    decoded = decode_rgb(file, content)
    height, width = decoded.pixels.shape[:2]
    if size is not None and (height, width) != (size, size):
        raise BrokenFile(
            file,
            f"{width}x{height} pixels, where this data set has {size}x{size}; "
            "for images of other sizes use the data set image-folder",
        )
    return decoded.pixels, content + decoded.rule if decoded.rule else content


def _check_unchanged(before: tuple[tuple[str, int, int], ...], files: Sequence[Path]) -> None:
    for old, new in zip(before, _stamps(files), strict=True):
        if old != new:
            bad_data(f"{new[0]}: changed while the data set was read; submit the job again when it no longer changes")


def _stamps(files: Sequence[Path]) -> Iterator[tuple[str, int, int]]:
    """Each file's path, size in bytes and time of change in nanoseconds. A missing file has size -1; a later read of it
    fails with the reason.
    """
    for number, file in enumerate(files):
        if number % REPORT_EVERY == 0:
            advanced()
        try:
            found = os.stat(file)  # noqa: PTH116 - a third of Path.stat's time, and this runs 110,000 times
        except OSError as error:
            failure = unreadable(file, error)
            if not isinstance(failure, BrokenFile):
                raise failure from error
            yield str(file), -1, 0
        else:
            yield str(file), found.st_size, found.st_mtime_ns
