"""A zip as a data set: unpacked once, whole or not at all, and nothing in it leaves its folder."""

import errno
import io
import os
import shutil
import signal
import stat
import struct
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
from tests.unit.training.pictures import image_folder, tiny_imagenet
from worker.training.data import ImageData, load_images
from worker.training.data import archive as archive_module
from worker.training.data.archive import unpacked
from worker.training.data.location import on_disk
from worker.training.data.zip_checks import Limits


def zip_of(folder: Path, file: Path, top: str = "") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(folder.rglob("*")):
            made.write(path, f"{top}{path.relative_to(folder)}")
    return file


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A small Tiny ImageNet as the official zip has it: below a top folder."""
    return zip_of(tiny_imagenet(tmp_path / "t"), tmp_path / "tiny.zip", "tiny-imagenet-200/")


def load(path: Path, cache: Path, **more: Any) -> ImageData:
    spec = DatasetSpec(name="tiny-imagenet-200", path=str(path))
    return load_images(spec, size=64, cache=cache, seed=1, **more)


def unpack(file: Path, cache: Path, limits: Limits | None = None, progress: Any = lambda _done, _total: None) -> Path:
    return unpacked(file, cache=cache, progress=progress, limits=limits or Limits())


def refused(file: Path, cache: Path, limits: Limits | None = None) -> str:
    with pytest.raises(JobFailure) as caught:
        unpack(file, cache, limits)
    assert caught.value.reason == "bad_data"
    assert set(left(cache)) == {".lock"}
    assert str(caught.value).startswith(f"{file}: ")
    return str(caught.value)


def left(cache: Path) -> list[str]:
    return sorted(entry.suffix for entry in (cache / "unpacked").iterdir())


def crafted(file: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return file


def test_the_official_zip_is_the_directory(tmp_path: Path, official: Path) -> None:
    from_zip, from_folder = load(official, tmp_path / "1"), load(tmp_path / "t", tmp_path / "2")
    np.testing.assert_array_equal(from_zip.train.images, from_folder.train.images)
    np.testing.assert_array_equal(from_zip.val.labels, from_folder.val.labels)
    assert from_zip.class_names == from_folder.class_names


def test_it_is_unpacked_and_decoded_once(tmp_path: Path, official: Path) -> None:
    said: list[str] = []
    load(official, tmp_path / "cache", report=said.append)
    assert said[0].startswith("unpacking tiny.zip: 0 of ")
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


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "C:/evil.txt", "C:evil.txt", "..\\evil.txt", "a\\b.txt"],
)
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    file = crafted(tmp_path / "evil.zip", ("good.txt", b"good"), (name, b"evil"))
    assert f"member {name!r}" in refused(file, tmp_path / "cache")
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("name", [".", "x" * 300, "/".join(["deep"] * 1000)])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    assert "name that no file can have" in refused(crafted(tmp_path / "odd.zip", (name, b"x")), tmp_path / "cache")


def test_a_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    file = crafted(tmp_path / "nul.zip", ("good-name.txt", b"x"))
    file.write_bytes(file.read_bytes().replace(b"good-name.txt", b"good\0name.txt"))
    assert "not a plain relative path" in refused(file, tmp_path / "cache")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    link = zipfile.ZipInfo("train/link")
    link.create_system, link.external_attr = 3, (kind | 0o777) << 16
    file = crafted(tmp_path / "link.zip", (link, b"/etc/passwd"), ("train/link/x", b"through it"))
    assert "member 'train/link' is a link or device" in refused(file, tmp_path / "cache")


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    file = crafted(tmp_path / "secret.zip", ("open.txt", b"a"), ("secret.txt", b"b"))
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.rfind(signature) + offset] |= 1
    file.write_bytes(content)
    assert "member 'secret.txt' is encrypted" in refused(file, tmp_path / "cache")


def test_a_member_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        file = crafted(tmp_path / "twice.zip", ("a.txt", b"1"), ("a.txt", b"2"))
    assert "member 'a.txt' occurs twice" in refused(file, tmp_path / "cache")
    file = crafted(tmp_path / "both.zip", ("a", b"1"), ("a/b", b"2"))
    assert "member 'a' is both a file and a folder" in refused(file, tmp_path / "cache")


def test_a_bomb_is_refused_by_its_ratio_size_and_count(tmp_path: Path) -> None:
    file = crafted(tmp_path / "bomb.zip", ("small.txt", b"x"), ("zeros.bin", bytes(5_000_000)))
    message = refused(file, tmp_path / "cache", Limits(free_bytes=1_000_000))
    assert "as in a zip bomb; its largest member is 'zeros.bin' with 5,000,000" in message
    assert "zip bomb" in refused(file, tmp_path / "cache", Limits(bytes=4_000_000))
    assert "2 members, more than the limit of 1" in refused(file, tmp_path / "cache", Limits(files=1))
    assert sorted(f.name for f in unpack(file, tmp_path / "cache").iterdir()) == ["small.txt", "zeros.bin"]


def test_a_member_that_is_greater_than_it_says_is_cut_off_and_named(tmp_path: Path) -> None:
    file = crafted(tmp_path / "liar.zip", ("liar.bin", bytes(1_000_000)))
    file.write_bytes(file.read_bytes().replace(struct.pack("<L", 1_000_000), struct.pack("<L", 10)))
    assert "member 'liar.bin' cannot be unpacked: Bad CRC-32" in refused(file, tmp_path / "cache")


def overlapping(file: Path) -> Path:
    """Many directory entries over one body, as in Fifield's bomb."""
    crafted(file, ("body.bin", bytes(1_000_000)))
    content = file.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entries = b"".join(content[start:end].replace(b"body.bin", b"b%03d.bin" % k) for k in range(500))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), start, 0)
    file.write_bytes(content[:start] + entries + tail)
    return file


def test_members_over_one_another_count_each(tmp_path: Path) -> None:
    assert "zip bomb" in refused(overlapping(tmp_path / "bomb.zip"), tmp_path / "cache")


def test_a_bad_checksum_names_the_member(tmp_path: Path) -> None:
    file = tmp_path / "bad.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        made.writestr("good.txt", b"good")
        made.writestr("bad.txt", b"the content")
    file.write_bytes(file.read_bytes().replace(b"the content", b"another one"))
    assert "member 'bad.txt' cannot be unpacked: Bad CRC-32" in refused(file, tmp_path / "cache")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_broken_compression_names_the_member(tmp_path: Path, method: int) -> None:
    file, noise = tmp_path / "bad.zip", np.random.default_rng(1).bytes(4000)
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("bad.bin", noise)
    content = bytearray(file.read_bytes())
    content[60:200] = b"\xff" * 140
    file.write_bytes(content)
    assert "member 'bad.bin' cannot be unpacked" in refused(file, tmp_path / "cache")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_zip_that_was_cut_off_is_told(tmp_path: Path, official: Path, share: float) -> None:
    os.truncate(official, int(official.stat().st_size * share))
    assert "no zip file, or one that was cut off" in refused(official, tmp_path / "cache")


def test_no_zip_and_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "page.zip"
    file.write_text("<html>not found</html>")
    assert "no zip file" in refused(file, tmp_path / "cache")
    assert "no files in it" in refused(crafted(tmp_path / "empty.zip"), tmp_path / "cache")


def test_an_unknown_compression_names_the_member(tmp_path: Path) -> None:
    file = crafted(tmp_path / "odd.zip", ("a.txt", b"a" * 100))
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        content[content.find(signature) + offset] = 97
    file.write_bytes(content)
    assert "member 'a.txt' cannot be unpacked" in refused(file, tmp_path / "cache")


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

    content, said = official.read_bytes(), list[str]()
    with serving(content) as server:
        known = Download("tiny.zip", server.url, len(content), Checksum("md5", hashlib.md5(content).hexdigest()))
        spec = DatasetSpec(name="tiny-imagenet-200", download=True)
        for _ in range(2):
            data = load_images(spec, size=16, cache=tmp_path / "cache", seed=1, report=said.append, source=known)
        assert len(server.asked) == 1
    assert len(data.train) == 30
    kinds = list(dict.fromkeys(text.split()[0] for text in said))
    assert kinds == ["downloading", "unpacking", "decoding"]


def test_a_path_comes_before_a_download(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "t")
    spec = DatasetSpec(name="tiny-imagenet-200", path=str(root), download=True)
    assert on_disk(spec, cache=tmp_path, report=lambda _text: None).path == str(root)
