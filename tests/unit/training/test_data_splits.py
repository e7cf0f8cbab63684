"""How the published data set is divided, on labels of its real size."""

import hashlib

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from worker.training.data.listing import Listing
from worker.training.data.splits import split_rows

CLASSES, EACH, VAL_EACH = 200, 500, 50
REPORT = {"train": 0.8, "val": 0.2, "test": "official"}


def listing() -> Listing:
    training, official = np.arange(CLASSES).repeat(EACH), np.tile(np.arange(CLASSES), VAL_EACH)
    labels = np.concatenate([training, official]).astype(np.int32)
    names = tuple(f"n{k:08}" for k in range(CLASSES))
    return Listing(names, labels, len(training), ("synthetic",), lambda i: np.zeros((64, 64, 3), np.uint8))


def spec(split: object = None) -> DatasetSpec:
    return DatasetSpec(name="tiny-imagenet-200", path="/data", split=split)  # type: ignore[arg-type]  # as a user does


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
    # Exactly these rows, in every process and release: a job that resumes elsewhere must not validate on images that it
    # has trained on.
    assert hashlib.sha256(one.val.astype("<i8").tobytes()).hexdigest()[:16] == "40113dfe809f9115"


def test_too_small_a_class_is_named() -> None:
    few = Listing(("a", "b"), np.array([0, 1, 1], np.int32), 3, (), lambda i: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(JobFailure, match="class a has 1 images"):
        split_rows(DatasetSpec(name="image-folder", path="/d"), few, seed=1)
