"""Typical data sets of users: a job trains on them, or refuses them with the names of the files and advice."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from tests.support.image_sets import EACH, SETS, ImageSet, filled, noise, two_classes
from worker.training.data import ImageData, load_images


def load(path: Path, cache: Path, size: int = 8, **fields: Any) -> ImageData:
    spec = DatasetSpec(name="image-folder", path=str(path), **fields)
    return load_images(spec, size=size, cache=cache, seed=1)


def refused(path: Path, cache: Path, **fields: Any) -> str:
    with pytest.raises(JobFailure) as caught:
        load(path, cache, **fields)
    assert caught.value.reason == "bad_data"
    assert str(cache) not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", SETS, ids=lambda kind: kind.name)
def test_every_set_trains_or_is_refused_with_the_next_step(tmp_path: Path, kind: ImageSet) -> None:
    path, cache = kind.make(tmp_path), tmp_path / "cache"
    if not kind.trained:
        message = refused(path, cache)
        assert str(tmp_path / "set") in message or "dataset.split" in message
    else:
        data = load(path, cache)
        assert data.test is not None
        assert (len(data.train), len(data.val), len(data.test)) == kind.trained
        assert len(data.class_names) == 2
        message = data.left_out.text
        assert bool(data.left_out.total) is bool(kind.told)
    for words in kind.told:
        assert words in message


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (found,) = (kind for kind in SETS if kind.name == "broken files")
    return found.make(tmp_path)


def test_broken_files_are_skipped_at_every_size_and_are_no_part_of_the_data(broken: Path, tmp_path: Path) -> None:
    small, large = (load(broken, tmp_path / "cache", size, on_broken="skip") for size in (8, 16))
    assert small.identity is not None
    assert large.identity is not None
    assert small.identity.digest == large.identity.digest
    assert (len(small.identity.names), small.left_out.total) == (2 * EACH - 2, 5)
    assert "dog/deep.tif: integers with a sign" in small.left_out.text
    used = np.concatenate([part.rows for part in (small.train, small.val, small.test) if part is not None])
    assert all(small.train.images[row].any() for row in used)

    whole = tmp_path / "whole"
    two_classes(whole)
    (whole / "cat" / "01.png").unlink()
    (whole / "dog" / "00.png").unlink()
    expected = load(whole, tmp_path / "cache").identity
    assert expected is not None
    assert small.identity.digest == expected.digest
    # A cache that a job with `on_broken: skip` has filled does not prevent the refusal.
    assert "5 broken files" in refused(broken, tmp_path / "cache")


def test_a_repaired_file_is_other_data(broken: Path, tmp_path: Path) -> None:
    before = load(broken, tmp_path / "cache", on_broken="skip").identity
    noise(3).save(broken / "dog" / "00.png")
    now = load(broken, tmp_path / "cache", on_broken="skip").identity
    assert before is not None
    assert now is not None
    assert set(now.names) - set(before.names) == {"dog/00.png"}


def test_nested_images_are_part_of_the_data_by_their_path(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set")
    filled(root / "cat" / "b" / "c", 2)
    filled(root / "cat" / "a", 1)
    (root / "cat" / "loop").symlink_to(root)
    data = load(root, tmp_path / "cache", nested=True)
    assert data.identity is not None
    assert len(data.identity.names) == 2 * EACH + 3
    assert {"cat/a/00.png", "cat/b/c/00.png", "cat/b/c/01.png"} <= set(data.identity.names)
    flat = load(root, tmp_path / "cache")
    assert flat.identity is not None
    assert len(flat.identity.names) == 2 * EACH
    assert flat.left_out.in_subfolders == 3


def test_a_broken_file_of_a_zip_is_told_by_the_name_of_the_zip(tmp_path: Path) -> None:
    (found,) = (kind for kind in SETS if kind.name == "a zip with a broken file")
    data = load(found.make(tmp_path), tmp_path / "cache", on_broken="skip")
    assert data.left_out.lines() == [f"1 broken file: {tmp_path}/set.ZIP/cat/x.png: no image that can be read"]


def test_only_the_first_broken_files_are_named(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set")
    for number in range(25):
        (root / "cat" / f"broken{number:02}.png").write_bytes(b"no image")
    message = refused(root, tmp_path / "cache")
    assert message.startswith(f"25 broken files: {root}/cat/broken00.png: no image that can be read; ")
    assert "broken19.png" in message
    assert "broken20.png" not in message
    assert "; and 5 more." in message


def test_a_class_without_a_whole_image_is_refused(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set")
    for file in (root / "dog").iterdir():
        file.write_bytes(b"no image")
    assert "class dog has 0 images" in refused(root, tmp_path / "cache", on_broken="skip")


def test_a_failing_disk_is_no_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = two_classes(tmp_path / "set")

    def fails(file: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))

    monkeypatch.setattr("worker.training.data.decode.open_regular", fails)
    message = refused(root, tmp_path / "cache", on_broken="skip")
    assert "cannot be read: Input/output error" in message


def test_a_class_that_training_does_not_have_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val"):
        two_classes(tmp_path / "set" / part)
    filled(tmp_path / "set" / "val" / "zebra")
    message = refused(tmp_path / "set", tmp_path / "cache")
    assert message == (
        f"{tmp_path}/set/val/zebra: a class that {tmp_path}/set/train does not have; remove it, or add it there"
    )


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("official", (8, 6, 4)),
        ({"train": 0.75, "val": 0.25, "test": "official"}, (6, 2, 4)),
        ({"train": 0.5, "val": 0.25, "test": 0.25}, (4, 2, 2)),
    ],
)
def test_a_split_in_the_spec_comes_before_the_folders(tmp_path: Path, split: Any, counts: tuple[int, ...]) -> None:
    (found,) = (kind for kind in SETS if kind.name == "train, valid, test")
    data = load(found.make(tmp_path), tmp_path / "cache", split=split)
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == counts
