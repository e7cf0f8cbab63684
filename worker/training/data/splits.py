"""The split into training, validation and test images: stratified, decided by the labels and the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baton.domain.image_counts import class_parts, split_of
from baton.domain.spec import DatasetSpec, SplitFractions
from worker.training.data.failures import bad_data
from worker.training.data.listing import Listing

Rows = NDArray[np.int64]
# A random stream separate from those of order and augmentation.
_SPLIT = 3


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Rows of the listing for each part, int64, ascending."""

    train: Rows
    val: Rows
    test: Rows | None


def split_rows(spec: DatasetSpec, listing: Listing, seed: int, without: Sequence[int] = ()) -> SplitRows:
    """The parts of a data set by `dataset.split`, or by the data set's default. `without`: rows to exclude.

    Raises:
        JobFailure: bad_data, a class is too small, or there is no official split.
    """
    wanted = spec.split or listing.split or split_of(spec)
    usable = np.ones(len(listing.labels), dtype=bool)
    usable[list(without)] = False
    first_test = len(usable) - listing.testing
    training, official, testing = (
        begin + np.flatnonzero(usable[begin:end]).astype(np.int64)
        for begin, end in ((0, listing.training), (listing.training, first_test), (first_test, len(usable)))
    )
    if not isinstance(wanted, SplitFractions):
        _need(official, "dataset.split", spec.name, "validation")
        _check_classes(listing, training)
        return SplitRows(training, official, testing if listing.testing else None)
    train, val, test = _stratified(listing, training, wanted, seed)
    if wanted.test == "official":
        held_out = testing if listing.testing else official
        _need(held_out, "dataset.split.test", spec.name, "validation")
        return SplitRows(train, val, held_out)
    return SplitRows(train, val, test if wanted.test else None)


def _need(official: Rows, field: str, name: str, part: str) -> None:
    if not len(official):
        bad_data(f"{field}: data set {name} has no official {part} images; set fractions")


def _check_classes(listing: Listing, training: Rows) -> None:
    counts = np.bincount(listing.labels[training], minlength=len(listing.class_names))
    for name, count in zip(listing.class_names, counts, strict=True):
        if not count:
            bad_data(f"dataset.path: class {name} has no training images that can be used")


def _stratified(listing: Listing, training: Rows, wanted: SplitFractions, seed: int) -> list[Rows]:
    labels = listing.labels[training]
    parts: list[list[Rows]] = [[], [], []]
    for label, name in enumerate(listing.class_names):
        rows = training[labels == label]
        counts = _counts(len(rows), wanted, name)
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_SPLIT, seed, label])))
        for part, chosen in zip(parts, np.split(generator.permutation(rows), np.cumsum(counts)), strict=False):
            part.append(chosen)
    return [np.sort(np.concatenate(part)).astype(np.int64) for part in parts]


def _counts(n: int, wanted: SplitFractions, name: str) -> tuple[int, int, int]:
    """How many of n images are for training, for validation and for the test."""
    parts = class_parts(n, wanted)
    if parts[0] < 1:
        bad_data(f"dataset.split: class {name} has {n} images, too few for all parts; add images, or use fewer parts")
    return parts
