"""Zip files that would write outside their folder or fill the disk are refused."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from tests.unit.training.archives import crafted, refused, unpack
from worker.training.data.zip_checks import Limits


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "a/../../evil.txt",
        "/etc/evil.txt",
        "C:/evil.txt",
        "C:evil.txt",
        "..\\evil.txt",
        "\\evil.txt",
        "a\\..\\..\\evil.txt",
        "C:\\evil.txt",
    ],
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


def test_a_backslash_makes_no_second_member_of_the_same_file(tmp_path: Path) -> None:
    file = crafted(tmp_path / "both.zip", ("a/b.txt", b"1"), ("a\\b.txt", b"2"))
    assert "occurs twice" in refused(file, tmp_path / "cache")


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
    """Many directory entries that refer to the same data, as in Fifield's zip bomb."""
    crafted(file, ("body.bin", bytes(1_000_000)))
    content = file.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entries = b"".join(content[start:end].replace(b"body.bin", b"b%03d.bin" % k) for k in range(500))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), start, 0)
    file.write_bytes(content[:start] + entries + tail)
    return file


def test_members_over_one_another_count_each(tmp_path: Path) -> None:
    assert "zip bomb" in refused(overlapping(tmp_path / "bomb.zip"), tmp_path / "cache")
