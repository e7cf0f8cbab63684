"""The identity of a data set is the same on all machines, and a difference is reported by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain import data_identity
from baton.domain.data_changes import what_changed
from baton.domain.data_identity import MAX_TABLE, DataIdentity, DataRecord
from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from tests.unit.training.pictures import image_folder, picture, save, tiny_imagenet
from worker.training.data import load_images
from worker.training.data import sources as sources_module
from worker.training.data.listing import Listing

CLASSES = ("ant", "bee", "cow")


def identity(path: Path, name: str = "image-folder", size: int = 8, **fields: Any) -> DataIdentity:
    spec = DatasetSpec(name=name, path=str(path), **fields)
    found = load_images(spec, size=size, cache=path.parent / "cache", seed=1).identity
    assert found is not None
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "data", classes=CLASSES, each=8)


def stored(record: DataRecord) -> DataRecord:
    return DataRecord.model_validate_json(record.model_dump_json())


def told(before: DataIdentity, now: DataIdentity) -> list[str]:
    return (what_changed(stored(before.record), now) or "").split("; ")


def test_a_copy_elsewhere_with_other_times_is_the_same_data_at_every_size(root: Path, tmp_path: Path) -> None:
    before = identity(root)
    copy = tmp_path / "elsewhere" / "with another name"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)
    for file in copy.rglob("*.jpg"):
        os.utime(file, (1, 1))
    now = identity(copy, size=16)
    assert (now.digest, now.names, now.classes) == (before.digest, before.names, CLASSES)
    assert what_changed(stored(before.record), now) is None


def test_a_second_load_reads_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(root)
    monkeypatch.setattr("worker.training.data.listing.read_content", lambda path: pytest.fail(f"read {path}"))
    assert identity(root).digest == before.digest


def test_a_cache_without_digests_is_made_again(root: Path) -> None:
    before = identity(root)
    (file,) = (root.parent / "cache").glob("*.npy")
    np.save(file, np.array(np.load(file)))
    assert identity(root).digest == before.digest


def test_a_renamed_class(root: Path) -> None:
    before = identity(root)
    (root / "ant").rename(root / "zebra")
    renamed, split = told(before, identity(root))
    assert renamed == "1 class renamed: ant -> zebra"
    assert " in another part of the split: " in split  # the split depends on the number of the class


def test_a_class_renamed_in_case_only(root: Path) -> None:
    before = identity(root)
    (root / "bee").rename(root / "Bee")
    assert told(before, identity(root))[0] == "1 class renamed: bee -> Bee"


def test_a_class_added_and_one_removed(root: Path) -> None:
    before = identity(root)
    shutil.rmtree(root / "bee")
    for k in range(5):
        save(picture(900 + k), root / "dog" / f"x{k}.jpg")
    assert told(before, identity(root))[:2] == ["1 class added: dog (5 images)", "1 class removed: bee (8 images)"]


def test_class_folders_that_were_swapped(root: Path) -> None:
    before = identity(root)
    (root / "ant").rename(root / "x")
    (root / "bee").rename(root / "ant")
    (root / "x").rename(root / "bee")
    phrase = "2 classes whose images are in another class now: ant -> bee, bee -> ant"
    assert told(before, identity(root))[0] == phrase


def test_files_added_with_what_that_does_to_the_split(root: Path) -> None:
    before = identity(root)
    for k in range(20):
        save(picture(900 + k), root / "ant" / f"a{k:02}.jpg")
    found = told(before, identity(root))
    assert found[0] == "20 files added: " + ", ".join(f"ant/a{k:02}.jpg" for k in range(5)) + " and 15 more"
    assert " in another part of the split: ant/0" in found[1]
    assert " -> train)" in found[1]


def test_a_file_removed_and_one_renamed(root: Path) -> None:
    before = identity(root)
    (root / "cow" / "07.jpg").unlink()
    (root / "bee" / "00.jpg").rename(root / "bee" / "0.jpg")
    found = told(before, identity(root))
    assert "1 file renamed or moved: bee/00.jpg -> bee/0.jpg" in found
    assert "1 file removed: cow/07.jpg" in found


def test_a_file_moved_to_another_class(root: Path) -> None:
    before = identity(root)
    (root / "bee" / "00.jpg").rename(root / "ant" / "x.jpg")
    assert "1 file renamed or moved: bee/00.jpg -> ant/x.jpg" in told(before, identity(root))


def test_altered_pixels_of_the_same_size(root: Path) -> None:
    before = identity(root)
    file = root / "bee" / "03.jpg"
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    assert told(before, identity(root)) == ["1 file altered: bee/03.jpg"]


def test_another_split(root: Path) -> None:
    before = identity(root, split={"train": 0.5, "val": 0.5})
    found = told(before, identity(root, split={"train": 0.75, "val": 0.25}))
    assert len(found) == 1
    assert found[0].startswith("6 images in another part of the split: ")
    assert "(val -> train)" in found[0]


def test_tiny_imagenet_is_told_by_its_files(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    before = identity(root, "tiny-imagenet-200", size=64)
    assert "train/n01/images/n01_0.JPEG" in before.names
    save(picture(7), root / "val" / "images" / "val_0.JPEG")
    now = identity(root, "tiny-imagenet-200", size=64)
    assert told(before, now) == ["1 file altered: val/images/val_0.JPEG"]


def test_digits_are_always_the_same(tmp_path: Path) -> None:
    first, second = (
        load_images(DatasetSpec(name="digits"), size=8, cache=tmp_path / str(k), seed=1).identity for k in range(2)
    )
    assert first is not None
    assert second is not None
    assert first.digest == second.digest
    assert len(first.record.table) < 30_000


def test_an_extension_without_names_is_told_by_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(odd: int) -> DataIdentity:
        def read(i: int) -> np.ndarray:
            return np.full((8, 8, 3), 200 + i if i == odd else i, np.uint8)

        labels = np.arange(20, dtype=np.int32) % 2
        found = Listing(("even", "odd"), labels, 20, (str(tmp_path), odd), read)
        monkeypatch.setattr(sources_module, "_SOURCES", {"digits": lambda spec: found})
        data = load_images(DatasetSpec(name="digits"), size=8, cache=tmp_path, seed=1)
        assert data.identity is not None
        return data.identity

    before = made(-1)
    assert told(before, made(4)) == ["1 file altered: even/3"]


@pytest.mark.parametrize("listed", [True, False])
def test_a_large_data_set_stays_small_in_the_checkpoint_and_is_told_by_class(
    monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    if listed:  # too large as a table, but not too many entries
        monkeypatch.setattr(data_identity, "MAX_LISTED", 10**9)
    n, classes = 65_000, tuple(f"class {k}" for k in range(50))
    random = np.random.default_rng(1).bytes(n * 16)
    names = [f"{classes[i % 50]}/{i}.jpg" for i in range(n)]
    before = DataIdentity(classes, names, [i % 50 for i in range(n)], "T" * n, random)
    assert len(before.record.table) < MAX_TABLE
    table = stored(before.record).read_table()
    assert table is not None
    assert table.files is None

    labels, other = list(before.labels), ("Class 0", *classes[1:])
    renamed = [name.replace("class 0/", "Class 0/") for name in names]
    assert told(before, DataIdentity(other, renamed, labels, before.parts, random))[0] == (
        "1 class renamed: class 0 -> Class 0"
    )
    altered = DataIdentity(classes, names, labels, before.parts, random[:32] + b"\0" + random[33:])
    assert told(before, altered) == [
        "1 class with other images: class 2 (1300 images -> 1300)",
        "split: other images in train (65000 -> 65000)",
    ]
    split = DataIdentity(classes, names, labels, "V" * 10 + "T" * (n - 10), random)
    assert told(before, split) == [
        "split: other images in train (65000 -> 64990)",
        "split: other images in val (0 -> 10)",
    ]


def test_another_order_alone_is_told(root: Path) -> None:
    before = identity(root)
    n = len(before.names)
    order = [1, 0, *range(2, n)]
    now = DataIdentity(
        before.classes,
        [before.names[k] for k in order],
        [before.labels[k] for k in order],
        "".join(before.parts[k] for k in order),
        b"".join(before.digests[16 * k : 16 * k + 16] for k in order),
    )
    assert told(before, now) == ["the images have another order"]


def test_a_table_that_cannot_be_read_still_tells_that_the_data_differs(root: Path) -> None:
    before = identity(root)
    (root / "ant").rename(root / "zebra")
    odd = before.record.model_copy(update={"table": "bm90aGluZw=="})
    assert "differs" in (what_changed(odd, identity(root)) or "")


def test_names_that_are_not_utf8_are_written_out_and_told(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", each=4)
    odd = Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))
    (root / "bee").rename(odd)
    (odd / "00.jpg").rename(Path(os.fsdecode(os.fsencode(odd) + b"/\xff.jpg")))
    data = load_images(DatasetSpec(name="image-folder", path=str(root)), size=8, cache=tmp_path / "cache", seed=1)
    assert data.class_names == ("ant", r"caf\xe9")
    assert data.identity is not None
    assert r"caf\xe9/\xff.jpg" in data.identity.names
    Path(os.fsdecode(os.fsencode(odd) + b"/\xff.jpg")).write_bytes(b"no image")
    with pytest.raises(JobFailure) as caught:
        load_images(DatasetSpec(name="image-folder", path=str(root)), size=8, cache=tmp_path / "cache", seed=1)
    assert str(caught.value).startswith(rf"{root}/caf\xe9/\xff.jpg: no image that can be read")
