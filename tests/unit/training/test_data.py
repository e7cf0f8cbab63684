"""Data sets: their contents, their splits, and error messages for everything that can be wrong with them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from tests.unit.training.pictures import image_folder, picture, save, tiny_imagenet
from worker.training.data import ImageData, Split, load_images


def _load(cache: Path, size: int = 16, seed: int = 1, **fields: Any) -> ImageData:
    return load_images(DatasetSpec(**fields), size=size, cache=cache, seed=seed)


def _refused(cache: Path, **fields: Any) -> str:
    with pytest.raises(JobFailure) as caught:
        _load(cache, **fields)
    assert caught.value.reason == "bad_data"
    return str(caught.value)


def _all(split: Split) -> np.ndarray:
    return split.take(np.arange(len(split)))


def test_digits_are_scikit_learns_scaled(tmp_path: Path) -> None:
    data = _load(tmp_path, name="digits", size=8)
    assert data.test is not None
    assert [len(s) for s in (data.train, data.val, data.test)] == [1259, 269, 269]
    images, bunch = np.concatenate([_all(s) for s in (data.train, data.val, data.test)]), load_digits()
    assert (images.shape, images.dtype) == ((1797, 8, 8, 3), np.uint8)
    expected = np.round(bunch.images * 255 / 16).astype(np.uint8)
    assert sorted(i[..., 0].tobytes() for i in images) == sorted(i.tobytes() for i in expected)
    assert (images == images[..., :1]).all()
    assert data.class_names == tuple("0123456789")


def test_digits_grow_and_take_first_classes_and_images(tmp_path: Path) -> None:
    data = _load(tmp_path, name="digits", size=32, classes=3, per_class=20)
    assert data.train.take([0]).shape == (1, 32, 32, 3)
    assert np.bincount(data.train.labels).tolist() == [14, 14, 14]
    assert data.class_names == ("0", "1", "2")


def test_splits_are_stratified_disjoint_and_by_seed_at_every_size(tmp_path: Path) -> None:
    small, large, other = (_load(tmp_path, name="digits", size=s, seed=k) for s, k in ((8, 1), (16, 1), (8, 2)))
    assert small.test is not None
    parts = [small.train.rows, small.val.rows, small.test.rows]
    assert sorted(np.concatenate(parts)) == list(range(1797))
    np.testing.assert_array_equal(small.train.rows, large.train.rows)
    assert not np.array_equal(small.train.rows, other.train.rows)
    shares = np.bincount(small.val.labels) / np.bincount(load_digits().target)
    assert np.abs(shares - 0.15).max() < 0.01


def test_image_folder_numbers_classes_in_sorted_order(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "d", classes=("wasp", "ant", "bee"), each=10)
    (root / "notes.txt").write_text("no class")
    (root / ".hidden").mkdir()
    data = _load(tmp_path, name="image-folder", path=str(root), size=64)
    assert data.test is not None
    assert (data.class_names, len(data.train), len(data.val), len(data.test)) == (("ant", "bee", "wasp"), 24, 3, 3)
    wasps = {np.asarray(Image.open(f)).tobytes() for f in (root / "wasp").iterdir()}
    assert {i.tobytes() for i in _all(data.train)[data.train.labels == 2]} <= wasps


def test_image_folder_takes_fractions_that_leave_images_out(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "d")
    data = _load(tmp_path, name="image-folder", path=str(root), split={"train": 0.5, "val": 0.2})
    assert (len(data.train), len(data.val), data.test) == (10, 4, None)


def test_tiny_imagenet_in_its_official_layout(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    data = _load(tmp_path, name="tiny-imagenet-200", path=str(root), size=64)
    assert (len(data.train), len(data.val), data.test) == (30, 6, None)
    assert data.class_names == ("goldfish, Carassius auratus", "bee", "n03")
    assert data.train.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert data.val.labels.tolist() == [0, 1, 2, 0, 1, 2]
    gray = data.train.take([0])
    assert (gray == gray[..., :1]).all()
    expected = np.asarray(Image.open(root / "train" / "n02" / "images" / "n02_3.JPEG"))
    np.testing.assert_array_equal(data.train.take([13])[0], expected)


def test_tiny_imagenet_takes_first_classes_and_keeps_all_their_validation_images(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    data = _load(tmp_path, name="tiny-imagenet-200", path=str(root), classes=2, per_class=4)
    assert (len(data.train), data.val.labels.tolist(), len(data.class_names)) == (8, [0, 1, 0, 1], 2)


def test_report_split_has_the_official_images_as_test(tmp_path: Path) -> None:
    split = {"train": 0.8, "val": 0.2, "test": "official"}
    data = _load(tmp_path, name="tiny-imagenet-200", path=str(tiny_imagenet(tmp_path / "t")), split=split)
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (24, 6, 6)
    assert np.bincount(data.val.labels).tolist() == [2, 2, 2]
    assert set(data.train.rows) | set(data.val.rows) == set(range(30))


def test_split_takes_in_any_order_and_travels_as_a_path(tmp_path: Path) -> None:
    train = _load(tmp_path, name="digits", size=32).train
    np.testing.assert_array_equal(train.take([5, 2, 5]), _all(train)[[5, 2, 5]])
    content = pickle.dumps(train)
    assert len(content) < 40_000
    np.testing.assert_array_equal(pickle.loads(content).take([7, 1]), train.take([7, 1]))
    assert train.size == 32


def test_split_of_arrays_needs_no_file() -> None:
    images = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    split = pickle.loads(pickle.dumps(Split.of(images, np.array([0, 1, 0, 1], np.int32))))
    np.testing.assert_array_equal(split.take([3, 0]), images[[3, 0]])
    assert len(split) == 4


def test_progress_counts_up_to_all_images(tmp_path: Path) -> None:
    seen: list[str] = []
    load_images(DatasetSpec(name="digits"), size=64, cache=tmp_path, seed=1, report=seen.append)
    assert seen[-1] == "decoding images to 64 px: 1,797 of 1,797 (100%)"
    assert len(seen) > 1
    assert seen[0].startswith("decoding images to 64 px: 341 of 1,797")


def test_missing_directory_names_field_and_path(tmp_path: Path) -> None:
    for name in ("image-folder", "tiny-imagenet-200"):
        message = _refused(tmp_path, name=name, path=str(tmp_path / "no"))
        assert message == f"dataset.path: {tmp_path / 'no'} is no directory on this worker"


def test_no_classes_and_fewer_than_asked_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has 0 classes" in _refused(tmp_path, name="image-folder", path=str(tmp_path / "empty"))
    root = image_folder(tmp_path / "d")
    message = _refused(tmp_path, name="image-folder", path=str(root), classes=5)
    assert message == f"dataset.classes: 5 asked for, but {root} has 2"


def test_a_class_too_small_for_the_split_is_named(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "d", each=2)
    message = _refused(tmp_path, name="image-folder", path=str(root))
    assert message.startswith("dataset.split: class ant has 2 images, too few for all parts")
    assert len(_load(tmp_path, name="image-folder", path=str(root), split={"train": 0.5, "val": 0.5}).val) == 2


@pytest.mark.parametrize(
    ("split", "field"), [("official", "split"), ({"train": 0.8, "val": 0.2, "test": "official"}, "split.test")]
)
def test_no_official_split_is_told(tmp_path: Path, split: Any, field: str) -> None:
    message = _refused(tmp_path, name="digits", split=split)
    assert message.startswith(f"dataset.{field}: data set digits has no official validation images")


def _truncated(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncated, "broken image: image file is truncated"),
        (lambda f: f.write_bytes(b""), "the image file is empty"),
        (lambda f: f.write_bytes(b"<html>not found</html>"), "no image that can be read"),
        (lambda f: f.write_bytes(f.read_bytes()[:20]), "no image that can be read"),
    ],
)
def test_a_broken_image_is_named_and_leaves_no_cache(tmp_path: Path, damage: Any, words: str) -> None:
    root, cache = image_folder(tmp_path / "d"), tmp_path / "cache"
    damage(root / "bee" / "03.jpg")
    message = _refused(cache, name="image-folder", path=str(root))
    assert message.startswith(f"{root / 'bee' / '03.jpg'}: {words}")
    assert not [f for f in cache.iterdir() if f.suffix != ".lock"]


@pytest.mark.parametrize("file", ["val/val_annotations.txt", "wnids.txt", "val/images/val_3.JPEG"])
def test_missing_file_of_tiny_imagenet_is_named(tmp_path: Path, file: str) -> None:
    root = tiny_imagenet(tmp_path / "t")
    (root / file).unlink()
    message = _refused(tmp_path, name="tiny-imagenet-200", path=str(root))
    assert message.startswith(f"{root / file}: cannot be read: No such file or directory")


def test_missing_class_folder_of_tiny_imagenet_is_named(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    (root / "train" / "n02" / "images").rename(root / "train" / "n02" / "pictures")
    assert str(root / "train" / "n02" / "images") in _refused(tmp_path, name="tiny-imagenet-200", path=str(root))


@pytest.mark.parametrize("line", ["val_0.JPEG", "val_0.JPEG\tn77\t0", "../../secret.JPEG\tn01\t0"])
def test_wrong_annotation_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    root = tiny_imagenet(tmp_path / "t")
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text() + line + "\n")
    assert f"{annotations}: line 7 names no image" in _refused(tmp_path, name="tiny-imagenet-200", path=str(root))


def test_an_image_of_tiny_imagenet_that_is_not_64_pixels_is_named(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    odd = root / "val" / "images" / "val_4.JPEG"
    save(picture(1, size=32), odd)
    message = _refused(tmp_path / "cache", name="tiny-imagenet-200", path=str(root))
    assert message.startswith(f"{odd}: 32x32 pixels, where this data set has 64x64")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_class_of_tiny_imagenet_without_images_is_named(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    for image in (root / "train" / "n02" / "images").iterdir():
        image.unlink()
    message = _refused(tmp_path, name="tiny-imagenet-200", path=str(root))
    assert message.startswith(f"{root / 'train' / 'n02' / 'images'}: a class without images")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00bad"])
def test_lists_of_tiny_imagenet_that_hold_nothing_are_named(tmp_path: Path, content: bytes) -> None:
    root = tiny_imagenet(tmp_path / "t")
    (root / "wnids.txt").write_bytes(content)
    assert str(root / "wnids.txt") in _refused(tmp_path, name="tiny-imagenet-200", path=str(root))
    root = tiny_imagenet(tmp_path / "u")
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_bytes(content)
    assert str(annotations) in _refused(tmp_path, name="tiny-imagenet-200", path=str(root))


def test_words_are_optional(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    (root / "words.txt").unlink()
    data = _load(tmp_path, name="tiny-imagenet-200", path=str(root))
    assert data.class_names == ("n01", "n02", "n03")
