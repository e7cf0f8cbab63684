"""Folders and archives of images as people have them: other formats and layouts, damaged files, files of systems."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

EACH = 6
"""Images of each class."""


def noise(seed: int, size: int = 16) -> Image.Image:
    """An image of random colours."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8))


def filled(folder: Path, each: int = EACH, suffix: str = ".png", seed: int = 0) -> Path:
    """The folder with images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(each):
        noise(1000 * seed + number).save(folder / f"{number:02}{suffix}")
    return folder


def two_classes(root: Path) -> Path:
    """Two classes of EACH images."""
    for label, name in enumerate(("cat", "dog")):
        filled(root / name, seed=label)
    return root


def zipped(root: Path, file: Path, named: Callable[[str], str], others: Iterable[str] = ()) -> Path:
    """A zip of the folder. `named`: the name of a member. `others`: more members, which are no images."""
    with zipfile.ZipFile(file, "w") as made:
        for path in sorted(root.rglob("*.png")):
            member = zipfile.ZipInfo()
            member.filename = named(path.relative_to(root).as_posix())
            made.writestr(member, path.read_bytes())
        for name in others:
            made.writestr(name, b"\0\5 no image")
    return file


@dataclass(frozen=True)
class ImageSet:
    """One kind of data set. `make`: makes it in a folder and returns its path.

    `trained`: the images of training, validation and test, without a split in the spec; empty: it is refused. `told`:
    words of the refusal, or of the message about files that are left out.
    """

    name: str
    make: Callable[[Path], Path]
    trained: tuple[int, ...] = ()
    told: tuple[str, ...] = ()


def _with(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Two classes with a change in their folder."""

    def make(folder: Path) -> Path:
        root = two_classes(folder / "set")
        change(root)
        return root

    return make


def _zip(named: Callable[[str], str], *others: str) -> Callable[[Path], Path]:
    return lambda folder: zipped(two_classes(folder / "set"), folder / "set.ZIP", named, others)


def _parts(folder: Path) -> Path:
    for part, each in (("Train", 4), ("valid", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            filled(folder / "set" / part / name, each, seed=label)
    return folder / "set"


def _train_and_test(folder: Path) -> Path:
    for part, each in (("train", 10), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            filled(folder / "set" / part / name, each, seed=label)
    return folder / "set"


def _junk(root: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._00.png"):
        (root / "cat" / name).write_bytes(b"junk")
    (root / "README.txt").write_text("about")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (root / name / "cat").mkdir(parents=True)
    filled(root / "cat" / ".ipynb_checkpoints")


def _newer_formats(root: Path) -> None:
    for suffix in (".avif", ".jp2"):
        noise(7).save(root / "cat" / f"new{suffix}")
    for suffix in (".jfif", ".jpe"):
        noise(7).save(root / "dog" / f"new{suffix}", "JPEG")


def _unknown_formats(root: Path) -> None:
    for number in range(3):
        (root / "dog" / f"{number}.heic").write_bytes(b"not read")
    (root / "dog" / "notes").write_text("words")


def _broken(root: Path) -> None:
    (root / "dog" / "00.png").write_bytes(b"")
    (root / "cat" / "01.png").write_bytes((root / "cat" / "01.png").read_bytes()[:300])
    (root / "dog" / "z.png").symlink_to("/nowhere/x.png")
    os.mkfifo(root / "dog" / "fifo.png")
    Image.fromarray(np.full((8, 8), 7, np.int32)).save(root / "dog" / "deep.tif")


def _not_utf8(root: Path) -> None:
    (root / "dog").rename(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))


SETS = (
    ImageSet("formats of today", _with(_newer_formats), (12, 2, 2)),
    ImageSet("unknown formats", _with(_unknown_formats), (8, 2, 2), ("4 files", "3 .heic", "1 without a suffix")),
    ImageSet(
        "half of a class nested", _with(lambda root: filled(root / "cat" / "sub", 3)), (8, 2, 2), ("3 images in",)
    ),
    ImageSet("images beside the classes", _with(lambda root: noise(1).save(root / "x.png")), (8, 2, 2), ("1 image b",)),
    ImageSet("junk of systems", _with(_junk), (8, 2, 2)),
    ImageSet("a folder with an image's name", _with(lambda root: (root / "dog" / "old.jpg").mkdir()), (8, 2, 2)),
    ImageSet("names that are not UTF-8", _with(_not_utf8), (8, 2, 2)),
    ImageSet(
        "broken files",
        _with(_broken),
        told=(
            "5 broken files: ",
            "cat/01.png: broken",
            "dog/00.png: the image file is empty",
            "dog/z.png: cannot be",
            "dog/fifo.png: is a FIFO",
            "dog/deep.tif: integers with a sign",
            "dataset.on_broken: skip",
        ),
    ),
    ImageSet(
        "a class of one image", _with(lambda root: filled(root / "one", 1)), told=("class one has 1", "add images")
    ),
    ImageSet(
        "an empty class", _with(lambda root: (root / "none").mkdir()), told=("none: a class without images", "add")
    ),
    ImageSet("a class of subfolders", _with(lambda root: filled(root / "all" / "sub")), told=("dataset.nested: true",)),
    ImageSet(
        "no folders",
        lambda folder: filled(folder / "set"),
        told=("has 0 classes", "6 images are in no class", "of its own"),
    ),
    ImageSet("train, valid, test", _parts, (8, 6, 4)),
    ImageSet("train and test", _train_and_test, (18, 2, 4)),
    ImageSet("a zip", _zip(str), (8, 2, 2)),
    ImageSet("a zip of a Mac", _zip("pets/{}".format, "__MACOSX/pets/cat/._00.png", "pets/.DS_Store"), (8, 2, 2)),
    ImageSet("a zip with a README beside its folder", _zip("pets/{}".format, "README.txt"), (8, 2, 2)),
    ImageSet("a zip with a folder in its folder", _zip("a/pets/{}".format), (8, 2, 2)),
    ImageSet("a zip with backslashes", _zip(lambda name: "pets\\" + name.replace("/", "\\")), (8, 2, 2)),
    ImageSet(
        "a zip with one class",
        _zip(lambda name: f"all/{name.replace('/', '')}"),
        told=("set.ZIP has 0 classes", "12 images are in no class"),
    ),
    ImageSet(
        "a zip with a broken file", _zip(str, "cat/x.png"), told=("set.ZIP/cat/x.png: no image that can be read",)
    ),
)
