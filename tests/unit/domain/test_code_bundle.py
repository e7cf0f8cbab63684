"""The archive of a code bundle: read by tar, and refused with anything that a bundle must not have."""

from __future__ import annotations

import io
import tarfile

import pytest

from baton.domain import code_bundle
from baton.domain.code_bundle import BUNDLE_BYTES, InvalidBundle, Member, header, members
from tests.support.bundles import bundle, crafted, entry

LONG = "/".join(["a-folder-with-a-long-name"] * 12) + "/" + "ü" * 90 + ".py"


def read(content: bytes) -> dict[str, tuple[bytes, bool]]:
    return {member.path: (b"".join(chunks), member.executable) for member, chunks in members(io.BytesIO(content).read)}


def refused(content: bytes) -> str:
    with pytest.raises(InvalidBundle) as caught:
        read(content)
    return str(caught.value)


def test_files_come_back_equal_and_other_programs_read_the_archive() -> None:
    files = {"train.py": b"print(1)\n", "run.sh": b"#!/bin/sh\n", "pkg/empty.py": b"", LONG: bytes(2_000_001)}
    content = bundle(files, executable=["run.sh"])
    assert read(content) == {path: (files[path], path == "run.sh") for path in files}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {one.name: tar.extractfile(one).read() for one in tar} == files  # type: ignore[union-attr]  # they are files
    assert read(crafted(*files.items())) == {path: (files[path], False) for path in files}


@pytest.mark.parametrize(
    "path",
    ["../evil.py", "a/../../evil.py", "/etc/evil.py", "a//b.py", "./a.py", "a/", "a\\b.py", "a\nb.py", "x" * 256],
)
def test_a_path_that_leads_outside_or_is_odd_is_refused(path: str) -> None:
    assert repr(path)[1:50] in refused(crafted(("good.py", b"1"), (path, b"evil")))


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.GNUTYPE_SPARSE, "a file with holes"),
        (b"7", "of an unknown kind"),
    ],
)
def test_only_regular_files_are_taken(kind: bytes, named: str) -> None:
    assert f"entry 'here' is {named}" in refused(crafted(entry("here", kind, "/etc/passwd"), ("here/x", b"1")))


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("train.py", "train.py", "occurs twice"),
        ("train.py", "Train.py", "differs from train.py only"),
        ("straße.py", "STRASSE.py", "only in letter case"),
        ("caf\u00e9.py", "cafe\u0301.py", "form of its letters"),
        ("src/a.py", "SRC/b.py", "differs from src only"),
        ("src", "src/a.py", "is below src, which is a file"),
        ("src/a.py", "src", "is both a file and a folder"),
        ("src/a.py", "Src", "is both a file and a folder"),
    ],
)
def test_no_entry_replaces_another_on_any_file_system(first: str, second: str, why: str) -> None:
    assert why in refused(crafted((first, b"1"), (second, b"2")))


def test_a_size_that_lies_is_refused() -> None:
    cut = bundle({"a.py": b"x" * 600})
    for end in (600, 1024, len(cut) - 1024, len(cut) - 1):
        assert "ends before its end" in refused(cut[:end])
    assert "more than a bundle may have" in refused(header(Member("a.py", BUNDLE_BYTES + 1)) + bytes(2048))
    negative = tarfile.TarInfo("a.py").tobuf(tarfile.GNU_FORMAT)
    field = (-512).to_bytes(12, "big", signed=True)
    damaged = negative[:124] + field + negative[136:]
    total = sum(damaged[:148]) + sum(damaged[156:]) + 8 * 32
    assert "than a bundle may have" in refused(damaged[:148] + b"%06o\0 " % total + damaged[156:] + bytes(1024))


def test_headers_that_change_what_follows_are_refused() -> None:
    hidden = tarfile.TarInfo("a.py")
    hidden.pax_headers = {"GNU.sparse.realsize": "1000000000000"}
    assert "pax header" in refused(crafted(hidden))
    huge = tarfile.TarInfo("a.py")
    huge.pax_headers = {"comment": "x" * 20_000}
    assert "pax header of a wrong size" in refused(crafted(huge))
    with_global = io.BytesIO()
    with tarfile.open(fileobj=with_global, mode="w", pax_headers={"path": "/etc/passwd"}):
        pass
    assert "unknown kind" in refused(with_global.getvalue())


def test_what_is_no_archive_or_goes_on_after_its_end_is_refused() -> None:
    whole = bundle({"a.py": b"1"})
    assert "no tar archive" in refused(b"PK\x03\x04" + bytes(600).replace(b"\0", b"x"))
    assert "ends before its end" in refused(b"")
    assert "goes on after its end" in refused(whole + bundle({"b.py": b"2"}))
    assert read(whole + bytes(9_000)) == {"a.py": (b"1", False)}


def test_a_bundle_has_so_many_bytes_and_files_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_bundle, "BUNDLE_FILES", 2)
    assert len(read(bundle({"a": b"", "b": b""}))) == 2
    assert "more than 2 files" in refused(bundle({"a": b"", "b": b"", "c": b""}))
    monkeypatch.setattr(code_bundle, "BUNDLE_BYTES", 4096)
    assert "more than 4,096 bytes" in refused(bundle({"a": b""}) + bytes(4096))
