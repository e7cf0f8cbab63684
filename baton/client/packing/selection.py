"""Decides which files of a folder a code bundle gets, and says which it leaves out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from baton.client.errors import LocalDataError
from baton.client.packing.listing import ALWAYS_OUT, list_files
from baton.client.packing.secret_files import HEAD_BYTES, secret_by_name, secret_in
from baton.domain.code_bundle import BUNDLE_BYTES, BUNDLE_FILES, Member, Paths, header, member_path_trouble, padding
from baton.domain.text import safe
from baton.system.caches import megabytes

SECRET, LINK, SPECIAL, REPOSITORY = (
    "looks like a secret",
    "is a link to something that is not packed as a file",
    "is no regular file",
    "is another git repository",
)
LARGEST = 5
SHOWN = 20


class Chosen(NamedTuple):
    """A file to pack. `source`: on this machine."""

    member: Member
    source: Path


class LeftOut(NamedTuple):
    """A file that is not packed. `why`: a text that follows its path."""

    path: str
    why: str


@dataclass(frozen=True)
class Selection:
    """The files of a bundle, sorted by path, and those that were left out though git does not ignore them."""

    files: tuple[Chosen, ...]
    left_out: tuple[LeftOut, ...]


def select_files(folder: Path) -> Selection:
    """The files of a folder to pack.

    Raises:
        LocalDataError: the folder has no file to pack, a file that cannot be packed, or more than a bundle may have.
    """
    try:
        root = folder.expanduser().resolve(strict=True)
    except OSError as error:
        raise LocalDataError(f"{folder}: {error.strerror}; give the folder with the program") from error
    if not root.is_dir():
        raise LocalDataError(f"{folder} is a file: give the folder with the program")
    listed = [path.rstrip("/") for path in list_files(root)]  # git writes a slash after another repository
    inside, chosen, left_out = _Folder(root, listed), list[Chosen](), list[LeftOut]()
    for path in sorted(listed, key=os.fsencode):
        if inside.holds_back(path):
            continue
        try:
            file = inside.choose(path)
        except _Unfit as why:
            left_out.append(LeftOut(path, str(why)))
            continue
        if file is not None:
            chosen.append(file)
    _check(folder, chosen)
    return Selection(tuple(chosen), tuple(left_out))


class _Folder:
    """The folder to pack. `listed`: the paths that git does not ignore."""

    def __init__(self, root: Path, listed: Iterable[str]) -> None:
        self._root, self._listed = root, frozenset(listed)
        self._environments: dict[str, bool] = {}

    def holds_back(self, path: str) -> bool:
        """Whether the path is in ALWAYS_OUT, or in a virtual environment."""
        parts = path.split("/")
        folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return any(part in ALWAYS_OUT for part in parts) or any(map(self._is_environment, folders))

    def choose(self, path: str) -> Chosen | None:
        """The file to pack. None: it does not exist any more. Raises _Unfit, LocalDataError."""
        place = self._root / path
        if not os.path.lexists(place):  # git lists files that it tracks and that were deleted
            return None
        if secret_by_name(path):
            raise _Unfit(SECRET)
        if place.is_dir() and not place.is_symlink():
            raise _Unfit(REPOSITORY)
        source = self._target(place)
        if not stat.S_ISREG(source.stat().st_mode):
            raise _Unfit(SPECIAL)
        try:
            with source.open("rb") as file:
                found = os.fstat(file.fileno())
                if secret_in(file.read(HEAD_BYTES)):
                    raise _Unfit(SECRET)
        except OSError as error:
            raise LocalDataError(f"{safe(path)} cannot be read: {error.strerror}") from error
        return Chosen(Member(path, found.st_size, bool(found.st_mode & 0o100)), source)

    def _target(self, place: Path) -> Path:
        """The file itself, or the packed file that a link leads to. So a link brings in nothing that is left out."""
        try:
            real = place.resolve(strict=True)
        except (OSError, RuntimeError):  # the link leads to nothing, or to itself
            raise _Unfit(LINK) from None
        if real == place:
            return place
        path = real.relative_to(self._root).as_posix() if real.is_relative_to(self._root) else ""
        if path not in self._listed or self.holds_back(path) or secret_by_name(path):
            raise _Unfit(LINK)
        return real

    def _is_environment(self, folder: str) -> bool:
        if folder not in self._environments:
            self._environments[folder] = (self._root / folder / "pyvenv.cfg").is_file()
        return self._environments[folder]


class _Unfit(Exception):
    """The file is left out. Its text follows the path."""


def _check(folder: Path, files: list[Chosen]) -> None:
    """Raise LocalDataError unless these files can be one bundle."""
    if not files:
        raise LocalDataError(f"{folder} has no file to pack: is it empty, or does git ignore all of it?")
    paths, troubles = Paths(), []
    for one in files:
        path = one.member.path
        if trouble := member_path_trouble(path) or paths.add(path):
            troubles.append(f"{safe(path)} {trouble}")
    if troubles:
        shown = "".join(f"\n  {one}" for one in troubles[:SHOWN])
        count = "1 file" if len(troubles) == 1 else f"{len(troubles)} files"
        raise LocalDataError(f"{count} cannot be packed:{shown}\nRename them, or add them to .gitignore.")
    if len(files) > BUNDLE_FILES:
        raise LocalDataError(
            f"{folder} has {len(files):,} files to pack, the limit is {BUNDLE_FILES:,}; add what the program does not "
            "need to .gitignore, and push data with `baton data push`"
        )
    size = sum(one.member.size for one in files)
    if size < BUNDLE_BYTES:  # the archive has no header for a file that is much larger
        size += sum(len(header(one.member)) + len(padding(one.member.size)) for one in files)
    if size > BUNDLE_BYTES - 1024:
        largest = sorted(files, key=lambda one: -one.member.size)[:LARGEST]
        shown = "".join(f"\n  {safe(one.member.path)}: {megabytes(one.member.size)}" for one in largest)
        raise LocalDataError(
            f"the code has {megabytes(size)}, the limit is {megabytes(BUNDLE_BYTES)}; the largest files:{shown}\n"
            "Add what the program does not need to .gitignore, and push data with `baton data push`."
        )
