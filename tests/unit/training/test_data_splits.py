"""How the published data set is divided, on labels of its real size, and what is said of it."""

import hashlib

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from worker.training.data import ImageData, Split, summarize
from worker.training.data.listing import Listing
from worker.training.data.splits import SplitRows, split_rows

CLASSES, EACH, VAL_EACH = 200, 500, 50
REPORT = {"train": 0.8, "val": 0.2, "test": "official"}


def listing() -> Listing:
    training, official = np.arange(CLASSES).repeat(EACH), np.tile(np.arange(CLASSES), VAL_EACH)
    labels = np.concatenate([training, official]).astype(np.int32)
    names = tuple(f"n{k:08}" for k in range(CLASSES))
    return Listing(names, labels, len(training), ("synthetic",), lambda i: np.zeros((64, 64, 3), np.uint8))


def spec(split: object = None) -> DatasetSpec:
    return DatasetSpec(name="tiny-imagenet-200", path="/data", split=split)  # type: ignore[arg-type]  # as a user does


def data(rows: SplitRows) -> ImageData:
    found, images = listing(), np.zeros((110_000, 1, 1, 3), np.uint8)
    parts = [None if p is None else Split(images, p, found.labels[p]) for p in (rows.train, rows.val, rows.test)]
    assert parts[0] is not None
    assert parts[1] is not None
    return ImageData(parts[0], parts[1], parts[2], found.class_names)


@pytest.mark.parametrize("split", [None, "official"])
def test_the_official_split_is_the_papers(split: object) -> None:
    rows = split_rows(spec(split), listing(), seed=1)
    np.testing.assert_array_equal(rows.train, np.arange(100_000))
    np.testing.assert_array_equal(rows.val, np.arange(100_000, 110_000))
    assert rows.test is None


def test_the_reports_split_is_80_to_20_in_each_class_and_tests_on_the_official_images() -> None:
    rows, labels = split_rows(spec(REPORT), listing(), seed=1), listing().labels
    assert rows.test is not None
    assert (len(rows.train), len(rows.val), len(rows.test)) == (80_000, 20_000, 10_000)
    assert set(np.bincount(labels[rows.train])) == {400}
    assert set(np.bincount(labels[rows.val])) == {100}
    np.testing.assert_array_equal(np.sort(np.concatenate([rows.train, rows.val])), np.arange(100_000))
    np.testing.assert_array_equal(rows.test, np.arange(100_000, 110_000))


def test_the_seed_alone_decides() -> None:
    one, same, other = (split_rows(spec(REPORT), listing(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.val, same.val)
    shared = len(np.intersect1d(one.val, other.val)) / len(one.val)
    assert 0.18 < shared < 0.22
    # These very rows, in any process of any release: a job that is resumed elsewhere must not validate on what it
    # has trained on.
    assert hashlib.sha256(one.val.astype("<i8").tobytes()).hexdigest()[:16] == "40113dfe809f9115"


def test_a_share_of_the_data_is_told_as_unused() -> None:
    made = spec({"train": 0.5, "val": 0.1, "test": 0.1})
    summary = summarize(made, data(split_rows(made, listing(), 1)), seed=1)
    assert summary.unused == 40_000
    assert summary.lines() == [
        "200 classes; training images divided by class and seed 1 into 50% train, 10% validation, 10% test",
        "train: 50,000 images, 250 a class",
        "validation: 10,000 images, 50 a class",
        "test: 10,000 images, 50 a class",
        "unused: 40,000 images",
    ]


def test_the_reports_split_in_words() -> None:
    summary = summarize(spec(REPORT), data(split_rows(spec(REPORT), listing(), 7)), seed=7)
    assert summary.lines() == [
        "200 classes; training images divided by class and seed 7 into 80% train, 20% validation; tested on the "
        "official validation images",
        "train: 80,000 images, 400 a class",
        "validation: 20,000 images, 100 a class",
        "test: 10,000 images, 50 a class",
    ]
    assert vars(summary.parts[0]) == {"name": "train", "images": 80_000, "fewest": 400, "most": 400}


def test_the_official_split_in_words() -> None:
    summary = summarize(spec(), data(split_rows(spec(), listing(), 7)), seed=7)
    assert summary.lines()[0].endswith(
        "official split: trained on the training images, validated on the official validation images"
    )
    assert [part.images for part in summary.parts] == [100_000, 10_000]
    assert summary.unused == 0


def test_classes_of_different_sizes_show_their_range() -> None:
    images, labels = np.zeros((5, 1, 1, 3), np.uint8), np.array([0, 0, 0, 1, 1], np.int32)
    parts = Split(images, np.arange(3), labels[[0, 1, 3]]), Split(images, np.arange(3, 5), labels[[2, 4]])
    made = DatasetSpec(name="image-folder", path="/data", split={"train": 0.6, "val": 0.4})  # type: ignore[arg-type]
    summary = summarize(made, ImageData(*parts, None, ("a", "b")), seed=1)
    assert str(summary.parts[0]) == "train: 3 images, 1 to 2 a class"


def test_too_small_a_class_is_named() -> None:
    few = Listing(("a", "b"), np.array([0, 1, 1], np.int32), 3, (), lambda i: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(JobFailure, match="class a has 1 images"):
        split_rows(DatasetSpec(name="image-folder", path="/d"), few, seed=1)
