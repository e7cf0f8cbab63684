"""Zip files that are encrypted, damaged or truncated are refused, and the message names the member."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.archives import crafted, refused


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    file = crafted(tmp_path / "secret.zip", ("open.txt", b"a"), ("secret.txt", b"b"))
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.rfind(signature) + offset] |= 1
    file.write_bytes(content)
    assert "member 'secret.txt' is encrypted" in refused(file, tmp_path / "cache")


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
    assert "not a complete zip file" in refused(official, tmp_path / "cache")


def test_no_zip_and_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "page.zip"
    file.write_text("<html>not found</html>")
    assert "not a complete zip file" in refused(file, tmp_path / "cache")
    assert "no files in it" in refused(crafted(tmp_path / "empty.zip"), tmp_path / "cache")


def test_an_unknown_compression_names_the_member(tmp_path: Path) -> None:
    file = crafted(tmp_path / "odd.zip", ("a.txt", b"a" * 100))
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        content[content.find(signature) + offset] = 97
    file.write_bytes(content)
    assert "member 'a.txt' cannot be unpacked" in refused(file, tmp_path / "cache")
