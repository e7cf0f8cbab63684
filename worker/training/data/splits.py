"""Which images train, validate and test: stratified, decided by the labels and the seed alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.domain.spec import DatasetSpec, SplitFractions
from worker.training.data.listing import Listing, bad_data

Rows = NDArray[np.int64]
DEFAULTS: dict[str, SplitFractions | Literal["official"]] = {
    "digits": SplitFractions(train=0.7, val=0.15, test=0.15),
    "image-folder": SplitFractions(train=0.8, val=0.1, test=0.1),
    "tiny-imagenet-200": "official",
}
# Apart from the streams of order and augmentation.
_SPLIT = 3


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Rows of the listing for each part, int64, ascending."""

    train: Rows
    val: Rows
    test: Rows | None


def wanted_split(spec: DatasetSpec) -> SplitFractions | Literal["official"]:
    """How the spec divides, or the default of its data set."""
    return spec.split or DEFAULTS[spec.name]


def split_rows(spec: DatasetSpec, listing: Listing, seed: int) -> SplitRows:
    """The parts of a data set by `dataset.split`, or by the data set's default.

    Raises:
        JobFailure: bad_data, a class is too small, or there is no official split.
    """
    wanted = wanted_split(spec)
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


def _counts(n: int, wanted: SplitFractions, name: str) -> list[int]:
    """How many of n images train, validate and test: the nearest numbers, but at least one of each part."""
    test_share = wanted.test if isinstance(wanted.test, float) else 0.0
    val, test = (max(1, round(n * share)) if share else 0 for share in (wanted.val, test_share))
    rest = n - val - test
    if rest < 1:
        bad_data(f"dataset.split: class {name} has {n} images, too few for all parts")
    everything = wanted.train + wanted.val + test_share > 1 - 1e-9
    return [rest if everything else min(rest, max(1, round(n * wanted.train))), val, test]
