"""The number of training images after the split. Workers and plans use the same formula."""

from __future__ import annotations

from typing import Literal

from baton.domain.catalog import DATASETS
from baton.domain.spec import DatasetSpec, SplitFractions

Split = Literal["official"] | SplitFractions
FRACTIONS = SplitFractions(train=0.8, val=0.1, test=0.1)
DEFAULT_SPLITS: dict[str, Split] = {
    "digits": SplitFractions(train=0.7, val=0.15, test=0.15),
    "image-folder": FRACTIONS,
    "tiny-imagenet-200": "official",
}


def split_of(dataset: DatasetSpec) -> Split:
    """`dataset.split`, or the data set's default."""
    return dataset.split or DEFAULT_SPLITS.get(dataset.name, FRACTIONS)


def class_parts(n: int, wanted: SplitFractions) -> tuple[int, int, int]:
    """How many of a class's n images are in training, validation and test: rounded, but at least one in each part.

    The training count is below 1 if n is too small for all parts.

    >>> class_parts(100, SplitFractions(train=0.7, val=0.15, test=0.15))
    (70, 15, 15)
    """
    test_share = wanted.test if isinstance(wanted.test, float) else 0.0
    val, test = (max(1, round(n * share)) if share else 0 for share in (wanted.val, test_share))
    rest = n - val - test
    everything = wanted.train + wanted.val + test_share > 1 - 1e-9
    return rest if everything else min(rest, max(1, round(n * wanted.train))), val, test


def training_images(dataset: DatasetSpec) -> int | None:
    """The number of training images. None if it depends on the worker's directory, or if the split leaves a class
    without training images.
    """
    info = DATASETS.get(dataset.name)
    if info is None or info.training is None:
        return None
    counts = [min(n, dataset.per_class or n) for n in info.training[: dataset.classes]]
    wanted = split_of(dataset)
    if not isinstance(wanted, SplitFractions):
        return sum(counts)
    trained = [class_parts(n, wanted)[0] for n in counts]
    return sum(trained) if min(trained) >= 1 else None


def class_count(dataset: DatasetSpec) -> int | None:
    """The number of classes. None if it depends on the worker's directory."""
    info = DATASETS.get(dataset.name)
    return dataset.classes or (info.classes if info else None)
