"""A zip as a data set: it is unpacked once and completely, and no file in it can leave its folder."""

import errno
import io
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from tests.support.file_server import serving
from tests.unit.training.archives import left, unpack, zip_of
from tests.unit.training.pictures import image_folder, tiny_imagenet
from worker.training.data import ImageData, load_images
from worker.training.data import archive as archive_module
from worker.training.data.location import on_disk


def load(path: Path, cache: Path, **more: Any) -> ImageData:
    spec = DatasetSpec(name="tiny-imagenet-200", path=str(path))
    return load_images(spec, size=64, cache=cache, seed=1, **more)


def test_the_official_zip_is_the_directory(tmp_path: Path, official: Path) -> None:
    from_zip, from_folder = load(official, tmp_path / "1"), load(tmp_path / "t", tmp_path / "2")
    np.testing.assert_array_equal(from_zip.train.images, from_folder.train.images)
    np.testing.assert_array_equal(from_zip.val.labels, from_folder.val.labels)
    assert from_zip.class_names == from_folder.class_names


def test_it_is_unpacked_and_decoded_once(tmp_path: Path, official: Path) -> None:
    reports: list[str] = []
    load(official, tmp_path / "cache", report=reports.append)
    assert reports[0].startswith("unpacking tiny.zip: 0 of ")
    again: list[str] = []
    load(official, tmp_path / "cache", report=again.append)
    assert again == []


def test_a_zip_without_a_top_folder_and_with_a_macs_additions(tmp_path: Path) -> None:
    file = zip_of(image_folder(tmp_path / "d"), tmp_path / "own.ZIP")
    with zipfile.ZipFile(file, "a") as made:
        made.writestr("__MACOSX/ant/._00.jpg", b"junk")
    spec = DatasetSpec(name="image-folder", path=str(file))
    data = load_images(spec, size=16, cache=tmp_path / "cache", seed=1)
    assert (data.class_names, len(data.train)) == (("ant", "bee"), 16)


def test_a_zip_that_changed_is_unpacked_anew(tmp_path: Path, official: Path) -> None:
    first = unpack(official, tmp_path / "cache")
    (tmp_path / "t" / "words.txt").write_text("n01\tfrog\n")
    zip_of(tmp_path / "t", official, "tiny-imagenet-200/")
    second = unpack(official, tmp_path / "cache")
    assert first != second
    assert (second / "words.txt").read_text() == "n01\tfrog\n"


def test_a_missing_zip_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(JobFailure, match=r"dataset.path: .*no.zip cannot be read: No such file"):
        load(tmp_path / "no.zip", tmp_path)


def test_too_small_a_disk_is_told_before_unpacking(
    tmp_path: Path, official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(10, 5, 5))
    with pytest.raises(JobFailure, match="make room, or set BATON_CACHE") as caught:
        unpack(official, tmp_path / "cache")
    assert (caught.value.reason, left(tmp_path / "cache")) == ("disk_full", [".lock"])


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(
    tmp_path: Path, official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: io.BufferedIOBase, out: io.BufferedIOBase, length: int) -> None:
        out.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive_module.shutil, "copyfileobj", full)
    with pytest.raises(JobFailure) as caught:
        unpack(official, tmp_path / "cache")
    assert (caught.value.reason, left(tmp_path / "cache")) == ("disk_full", [".lock"])


def test_a_stop_leaves_nothing(tmp_path: Path, official: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(official, tmp_path / "cache", progress=stop)
    assert left(tmp_path / "cache") == [".lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from worker.training.data import archive
archive._REPORT_EVERY = 1
at = int(sys.argv[3])
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if at == -1:
    archive.os.sync = die
if at == -2:
    archive.sync_directory = die
archive.unpacked(Path(sys.argv[1]), cache=Path(sys.argv[2]), progress=lambda done, _: die() if done == at else None)
"""


@pytest.mark.process
@pytest.mark.parametrize("at", [0, 1, 20, -1, -2])
def test_a_killed_worker_leaves_nothing_that_is_taken_for_whole(tmp_path: Path, official: Path, at: int) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(official), str(cache), str(at)]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (".part" in left(cache)) is (at != -2)
    found = unpack(official, cache)
    assert sum(f.is_file() for f in found.rglob("*")) == sum(f.is_file() for f in (tmp_path / "t").rglob("*"))
    assert ".part" not in left(cache)


def test_what_another_archives_killed_worker_left_goes_too(tmp_path: Path, official: Path) -> None:
    folder = tmp_path / "cache" / "unpacked"
    (folder / "old-0123.abc.part" / "train").mkdir(parents=True)
    (folder / "old-0123.lock").touch()
    unpack(official, tmp_path / "cache")
    assert not (folder / "old-0123.abc.part").exists()


def test_workers_at_once_unpack_once(tmp_path: Path, official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[Path] = []
    inner: Callable[..., None] = archive_module._unpack
    monkeypatch.setattr(archive_module, "_unpack", lambda *a: (times.append(a[0]), inner(*a)))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(unpack(official, tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 1
    assert len(set(found)) == 1


def test_downloaded_unpacked_and_decoded(tmp_path: Path, official: Path) -> None:
    import hashlib

    from baton.domain.downloads import Checksum, Download

    content, reports = official.read_bytes(), list[str]()
    with serving(content) as server:
        known = Download("tiny.zip", server.url, len(content), Checksum("md5", hashlib.md5(content).hexdigest()))
        spec = DatasetSpec(name="tiny-imagenet-200", download=True)
        for _ in range(2):
            data = load_images(spec, size=16, cache=tmp_path / "cache", seed=1, report=reports.append, source=known)
        assert len(server.asked) == 1
    assert len(data.train) == 30
    kinds = list(dict.fromkeys(text.split()[0] for text in reports))
    assert kinds == ["downloading", "unpacking", "decoding"]


def test_a_path_comes_before_a_download(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    spec = DatasetSpec(name="tiny-imagenet-200", path=str(root), download=True)
    assert on_disk(spec, cache=tmp_path, report=lambda _text: None).path == str(root)
