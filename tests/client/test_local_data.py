"""What is pushed of a folder, and the digests of its files, without a service."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from baton.client.errors import LocalDataError
from baton.client.pushing.hash_cache import HashCache
from baton.client.pushing.hashing import Hashed, hash_files, read_pack
from baton.client.pushing.local_files import find_files
from baton.client.pushing.push import checked_name, default_name
from baton.domain.data_manifest import PACK_BYTES, DataManifest
from tests.client.data_folders import fill, write


def paths(folder: Path) -> list[str]:
    return [file.path for file in find_files(folder).files]


def hashed(folder: Path, cache: Path) -> Hashed:
    with HashCache(cache) as kept:
        return hash_files(find_files(folder), kept)


def test_links_are_followed_and_files_of_operating_systems_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write(folder / "a" / "1.png", b"1")
    write(folder / "a-b.png", b"2")
    write(tmp_path / "elsewhere" / "2.png", b"3")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "one.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    for name in (".DS_Store", "a/Thumbs.db", "__MACOSX/._1.png"):
        write(folder / name, b"x")
    assert paths(folder) == ["a-b.png", "a/1.png", "link/2.png", "one.png"]
    assert find_files(folder).left_out == 3


def test_one_error_names_all_that_cannot_be_pushed(tmp_path: Path) -> None:
    write(tmp_path / "fine.png", b"1")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "away").symlink_to(tmp_path / "nothing")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "back\\slash").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).touch()
    for k in range(30):
        (tmp_path / f"z{k:02}").symlink_to(tmp_path / "nothing")
    with pytest.raises(LocalDataError) as raised:
        find_files(tmp_path)
    text = str(raised.value)
    assert text.startswith("36 files cannot be pushed, so nothing was sent:")
    for words in (
        "pipe is a FIFO",
        "away is a link to a file that does not exist",
        "self is a link to itself",
        "sub/loop is a link to a folder that contains it",
        "back\\slash has a backslash",
        "caf\\xe9.png is not valid UTF-8",
        "and 16 more",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.tar", b"x", "unpack it, and push the folder"), ("a.zip", b"x", "is not a complete zip file")],
)
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(LocalDataError, match=words):
        find_files(write(tmp_path / name, content))
    with pytest.raises(LocalDataError, match="has no file"):
        (tmp_path / "empty").mkdir()
        find_files(tmp_path / "empty")


def test_a_zip_is_one_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "My Photos.zip", "w") as made:
        made.writestr("cats/1.png", b"cat")
    found = find_files(tmp_path / "My Photos.zip")
    assert (found.kind, [file.path for file in found.files]) == ("file", ["My Photos.zip"])
    assert default_name(tmp_path / "My Photos.zip") == "my-photos"


@pytest.mark.parametrize("name", ["Photos", "a b", "", f"photos@sha256:{'0' * 64}"])
def test_a_name_that_data_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(LocalDataError):
        checked_name(name)


def test_digests_are_those_of_the_bytes_and_are_read_once(tmp_path: Path) -> None:
    folder, cache = tmp_path / "photos", tmp_path / "cache" / "hashes.sqlite"
    fill(folder, 60, cuts=3)
    big = write(folder / "class-1" / "big.bin", os.urandom(2 * PACK_BYTES + 100))
    write(folder / "empty", b"")
    local, first = find_files(folder), hashed(folder, cache)
    assert first.read == local.bytes
    for file in first.manifest.files:
        assert file.sha256 == hashlib.sha256((folder / file.path).read_bytes()).hexdigest()
    content = b"".join(read_pack(local.files, pack) for pack in first.packs)
    assert content == b"".join((folder / file.path).read_bytes() for file in first.manifest.files)
    assert DataManifest.decode(first.manifest.encode()).digest == first.manifest.digest
    second = hashed(folder, cache)
    assert (second.read, second.manifest, second.packs) == (0, first.manifest, first.packs)
    write(folder / "class-0" / "new.bin", b"new")
    third = hashed(folder, cache)
    assert third.read < big.stat().st_size
    known = {pack.sha256 for pack in first.packs}
    assert len([pack for pack in third.packs if pack.sha256 not in known]) <= 2


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    folder, cache = tmp_path / "photos", tmp_path / "hashes.sqlite"
    file = write(folder / "1.png", b"one")
    local, first = find_files(folder), hashed(folder, cache)
    write(file, b"two")
    for act in (lambda: read_pack(local.files, first.packs[0]), lambda: hash_files(local, HashCache(cache))):
        with pytest.raises(LocalDataError, match=r"1\.png changed while it was pushed"):
            act()


def test_a_cache_that_cannot_be_used_costs_only_time(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "1.png", b"one")
    broken = write(tmp_path / "hashes.sqlite", b"no database" * 1_000)
    assert hashed(tmp_path / "photos", broken).read == 3
    assert hashed(tmp_path / "photos", tmp_path / "photos" / "1.png" / "hashes.sqlite").read == 3


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    """A second change within the same tick of the clock would not be seen."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(b"one")
    assert hashed(tmp_path / "photos", tmp_path / "hashes.sqlite").read == 3
    assert hashed(tmp_path / "photos", tmp_path / "hashes.sqlite").read == 3
