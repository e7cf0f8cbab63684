"""One folder for each class: path/<class>/*.jpg, or the same below train, val and test.

The classes are numbered in sorted order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from baton.domain.image_counts import Split
from baton.domain.spec import DatasetSpec, SplitFractions
from worker.training.data.failures import bad_data
from worker.training.data.folders import Folder, class_files, content_root
from worker.training.data.left_out import LeftOut
from worker.training.data.listing import Labelled, Listing, kept_classes, of_files, root_of

PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""The names, in lower case, of folders that contain the classes of one part of the split."""

TEST_IS_OFFICIAL = SplitFractions(train=0.9, val=0.1, test="official")
"""The split of a data set that has a folder for training and one for the test, and none for validation."""


def listing(spec: DatasetSpec) -> Listing:
    """The images of the kept classes, each class's files in sorted order."""
    root = content_root(root_of(spec))
    top = Folder.of(root)
    parts = _parts(top)
    train = Folder.of(parts["train"]) if parts else top
    step = f" ({len(train.images):,} images are in no class)" if train.images else ""
    step += ": put the images of each class into a folder of its own"
    names = kept_classes(spec, train.subfolders, str(train.path), step)
    found = [class_files(train.path / name, nested=spec.nested) for name in names]
    left_out = sum((left for _, left in found), LeftOut(beside=len(top.images)))
    official: dict[str, Sequence[Labelled]] = {}
    for part in ("val", "test"):
        if part in parts:
            official[part], more = _labelled(Folder.of(parts[part]), train, names, nested=spec.nested)
            left_out += more
    return of_files(
        tuple(names),
        [files[: spec.per_class] for files, _ in found],
        official.get("val", ()),
        testing=official.get("test", ()),
        root=root,
        split=_split(official),
        left_out=left_out,
    )


def _parts(top: Folder) -> Mapping[str, Path]:
    """The folders of train, val and test, by part. Empty if there are other folders or train has no class folders."""
    found = {part: name for name in top.subfolders for part, names in PARTS.items() if name.lower() in names}
    if "train" not in found or not 2 <= len(found) == len(top.subfolders):
        return {}
    paths = {part: top.path / name for part, name in found.items()}
    train = Folder.of(paths["train"])
    return paths if train.subfolders and not train.images else {}


def _labelled(part: Folder, train: Folder, names: Sequence[str], *, nested: bool) -> tuple[list[Labelled], LeftOut]:
    """The images of the kept classes in the folder val or test."""
    unknown = [name for name in part.subfolders if name not in train.subfolders]
    if unknown:
        bad_data(f"{part.path / unknown[0]}: a class that {train.path} does not have; remove it, or add it there")
    labels, images, left_out = {name: label for label, name in enumerate(names)}, [], LeftOut(beside=len(part.images))
    for name in part.subfolders:
        if name in labels:
            files, more = class_files(part.path / name, nested=nested)
            images += [(file, labels[name]) for file in files]
            left_out += more
    return images, left_out


def _split(official: Mapping[str, Sequence[Labelled]]) -> Split | None:
    if "val" in official:
        return "official"
    return TEST_IS_OFFICIAL if "test" in official else None
