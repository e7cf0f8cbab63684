"""The split into training, validation and test images: stratified, decided by the labels and the seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baton.domain.image_counts import class_parts, split_of
from baton.domain.spec import DatasetSpec, SplitFractions
from worker.training.data.listing import Listing, bad_data

Rows = NDArray[np.int64]
# A random stream separate from those of order and augmentation.
_SPLIT = 3


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Rows of the listing for each part, int64, ascending."""

    train: Rows
    val: Rows
    test: Rows | None


def split_rows(spec: DatasetSpec, listing: Listing, seed: int) -> SplitRows:
    """The parts of a data set by `dataset.split`, or by the data set's default.

    Raises:
        JobFailure: bad_data, a class is too small, or there is no official split.
    """
    wanted = split_of(spec)
    training = np.arange(listing.training, dtype=np.int64)
    official = np.arange(listing.training, len(listing.labels), dtype=np.int64)
    if not isinstance(wanted, SplitFractions):
        _need_official(official, "dataset.split", spec.name)
        return SplitRows(training, official, None)
    train, val, test = _stratified(listing, wanted, seed)
    if wanted.test == "official":
        _need_official(official, "dataset.split.test", spec.name)
        return SplitRows(train, val, official)
    return SplitRows(train, val, test if wanted.test else None)


def _need_official(official: Rows, field: str, name: str) -> None:
    if not len(official):
        bad_data(f"{field}: data set {name} has no official validation images, give fractions")


def _stratified(listing: Listing, wanted: SplitFractions, seed: int) -> list[Rows]:
    labels = listing.labels[: listing.training]
    parts: list[list[Rows]] = [[], [], []]
    for label, name in enumerate(listing.class_names):
        rows = np.flatnonzero(labels == label)
        counts = _counts(len(rows), wanted, name)
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_SPLIT, seed, label])))
        for part, chosen in zip(parts, np.split(generator.permutation(rows), np.cumsum(counts)), strict=False):
            part.append(chosen)
    return [np.sort(np.concatenate(part)).astype(np.int64) for part in parts]


def _counts(n: int, wanted: SplitFractions, name: str) -> tuple[int, int, int]:
    """How many of n images train, validate and test."""
    parts = class_parts(n, wanted)
    if parts[0] < 1:
        bad_data(f"dataset.split: class {name} has {n} images, too few for all parts")
    return parts
