"""Tiny ImageNet-200 in its official layout: train/<wnid>/images, val/images, val/val_annotations.txt, wnids, words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from baton.domain.spec import DatasetSpec
from worker.training.data.failures import bad_data
from worker.training.data.folders import class_files, content_root
from worker.training.data.left_out import LeftOut
from worker.training.data.listing import Listing, kept_classes, of_files, root_of
from worker.training.data.regular_files import open_regular

SIZE = 64


def listing(spec: DatasetSpec) -> Listing:
    """Classes in sorted wnid order, named by words.txt; `per_class` limits the training images only."""
    root = root_of(spec)
    if not (root / "wnids.txt").exists():
        root = content_root(root)
    known = sorted(set(_lines(root / "wnids.txt")))
    wnids = kept_classes(spec, known, f"{root / 'wnids.txt'}")
    found = [class_files(root / "train" / wnid / "images") for wnid in wnids]
    training = [files[: spec.per_class] for files, _ in found]
    official = list(_validation(root, wnids, set(known)))
    left_out = sum((left for _, left in found), LeftOut())
    return of_files(_names(root, wnids), training, official, size=SIZE, root=root, left_out=left_out)


def _names(root: Path, wnids: list[str]) -> tuple[str, ...]:
    """Each class's words, such as "goldfish, Carassius auratus"; its wnid where words.txt has none."""
    file = root / "words.txt"
    pairs = (line.partition("\t") for line in _lines(file)) if file.is_file() else ()
    words = {wnid: text for wnid, _, text in pairs}
    return tuple(words.get(wnid) or wnid for wnid in wnids)


def _validation(root: Path, wnids: list[str], known: set[str]) -> Iterator[tuple[Path, int]]:
    annotations = root / "val" / "val_annotations.txt"
    labels, lines = {wnid: label for label, wnid in enumerate(wnids)}, _lines(annotations)
    if not lines:
        bad_data(f"{annotations}: lists no images")
    for number, line in enumerate(lines, start=1):
        file, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in known or Path(file).name != file:
            bad_data(f"{annotations}: line {number} names no image and class of wnids.txt: {line[:80]!r}")
        if wnid in labels:
            yield root / "val" / "images" / file, labels[wnid]


def _lines(file: Path) -> list[str]:
    try:
        with open_regular(file) as content:
            text = content.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        bad_data(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return [line.strip() for line in text.splitlines() if line.strip()]
