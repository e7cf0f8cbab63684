"""A summary of a data set's split for people: the counts of each part, and the rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baton.domain.image_counts import split_of
from baton.domain.spec import DatasetSpec, SplitFractions
from worker.training.data.image_data import ImageData


@dataclass(frozen=True)
class PartSummary:
    """One part of a data set. `fewest` and `most`: images per class in it."""

    name: str
    images: int
    fewest: int
    most: int

    def __str__(self) -> str:
        each = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"{self.name}: {self.images:,} images, {each} a class"


@dataclass(frozen=True)
class SplitSummary:
    """All parts of a data set. `rule`: how it is divided, in a sentence; `unused`: images in no part."""

    classes: int
    parts: tuple[PartSummary, ...]
    unused: int
    rule: str

    def lines(self) -> list[str]:
        """The summary as text."""
        rest = [f"unused: {self.unused:,} images"] if self.unused else []
        return [f"{self.classes} classes; {self.rule}", *(str(part) for part in self.parts), *rest]


def summarize(spec: DatasetSpec, data: ImageData, seed: int) -> SplitSummary:
    """The summary of a loaded data set."""
    classes = len(data.class_names)
    parts = {"train": data.train, "validation": data.val, "test": data.test}
    found = []
    for name, split in parts.items():
        if split is not None:
            counts = np.bincount(split.labels, minlength=classes)
            found.append(PartSummary(name, len(split), int(counts.min()), int(counts.max())))
    unused = len(data.train.images) - sum(part.images for part in found)
    return SplitSummary(classes, tuple(found), unused, _rule(spec, seed))


def _rule(spec: DatasetSpec, seed: int) -> str:
    wanted = split_of(spec)
    if not isinstance(wanted, SplitFractions):
        return "official split: trained on the training images, validated on the official validation images"
    shares = [f"{wanted.train:.0%} train", f"{wanted.val:.0%} validation"]
    if isinstance(wanted.test, float):
        shares.append(f"{wanted.test:.0%} test")
    text = f"training images divided by class and seed {seed} into {', '.join(shares)}"
    return text + ("; tested on the official validation images" if wanted.test == "official" else "")
