"""Checks the members of a zip before the first byte is unpacked on a worker."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from worker.training.data.failures import bad_data

_DRIVE = re.compile("[A-Za-z]:")
_ENCRYPTED = 0x1
_LONGEST, _LONGEST_PATH = 255, 2000
_JUNK = ("__MACOSX/",)


@dataclass(frozen=True)
class Limits:
    """Limits of one archive. `ratio`: unpacked bytes per byte of the file, checked above `free_bytes` only."""

    files: int = 3_000_000
    bytes: int = 200 * 10**9
    ratio: int = 100
    free_bytes: int = 100 * 10**6


LIMITS = Limits()


def plain_name(member: zipfile.ZipInfo) -> str:
    """The member's name with `/` between its parts. Some Windows tools write a backslash there.

    Uses the complete name in the archive, because zipfile cuts off `filename` at a NUL.
    """
    return member.orig_filename.replace("\\", "/")


def is_folder(member: zipfile.ZipInfo) -> bool:
    """Whether the member is a folder and has no content."""
    return plain_name(member).endswith("/")


def checked(archive: Path, members: Sequence[zipfile.ZipInfo], limits: Limits = LIMITS) -> list[zipfile.ZipInfo]:
    """The members that are files. Raises JobFailure: bad_data, naming the member that must not be unpacked."""
    _check_size(archive, members, limits)
    wanted = [member for member in members if not plain_name(member).startswith(_JUNK)]
    for member in wanted:
        violation = _violation(member)
        if violation:
            bad_data(f"{archive}: member {_shown(member)} {violation}; nothing was unpacked")
    files = [member for member in wanted if not is_folder(member)]
    _check_distinct(archive, files)
    return files


def _check_size(archive: Path, members: Sequence[zipfile.ZipInfo], limits: Limits) -> None:
    total, packed = sum(m.file_size for m in members), archive.stat().st_size
    if len(members) > limits.files:
        bad_data(f"{archive}: {len(members):,} members, more than the limit of {limits.files:,}")
    bomb = total > limits.bytes or total > max(limits.free_bytes, limits.ratio * packed)
    if bomb:
        largest = max(members, key=lambda m: m.file_size)
        bad_data(
            f"{archive}: {packed:,} bytes would be unpacked to {total:,}, as in a zip bomb; its largest member is "
            f"{_shown(largest)} with {largest.file_size:,}; nothing was unpacked"
        )


def _violation(member: zipfile.ZipInfo) -> str:
    name, mode = plain_name(member), member.external_attr >> 16
    if not name or "\0" in name or _DRIVE.match(name):
        return "has a name that is not a plain relative path"
    parts = PurePosixPath(name).parts
    if not parts or max(len(part.encode()) for part in parts) > _LONGEST or len(name.encode()) > _LONGEST_PATH:
        return "has a name that no file can have"
    if name.startswith("/") or ".." in parts:
        return "would be outside of the folder it is unpacked to"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR and not is_folder(member)):
        return "is a link or device, not a file"
    return ""


def _check_distinct(archive: Path, files: Sequence[zipfile.ZipInfo]) -> None:
    names: set[str] = set()
    for member in files:
        name = str(PurePosixPath(plain_name(member)))
        if name in names:
            bad_data(f"{archive}: member {_shown(member)} occurs twice; nothing was unpacked")
        names.add(name)
    folders = {folder for name in names for folder in _folders(name)}
    for member in files:
        if str(PurePosixPath(plain_name(member))) in folders:
            bad_data(f"{archive}: member {_shown(member)} is both a file and a folder; nothing was unpacked")


def _folders(name: str) -> Iterator[str]:
    while (name := name.rpartition("/")[0]) != "":
        yield name


def _shown(member: zipfile.ZipInfo) -> str:
    return repr(member.orig_filename[:200])
