"""Finds the files of a folder or zip to push. A file that cannot be pushed is an error before anything is sent."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from baton.client.errors import LocalDataError
from baton.domain.data_manifest import MAX_FILES, path_trouble
from baton.domain.text import safe

LEFT_OUT = frozenset({".DS_Store", "Thumbs.db", "__MACOSX"})
"""Names of files and folders that operating systems add. They are not pushed."""
SHOWN = 20
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class LocalFile(NamedTuple):
    """A file to push. `path`: in the pushed data. `source`: on this machine. The other fields show changes."""

    path: str
    source: str
    size: int
    mtime_ns: int
    inode: int

    def same(self, found: os.stat_result) -> bool:
        """Whether the file is unchanged, by size, time and inode."""
        return (self.size, self.mtime_ns, self.inode) == (found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass
class LocalFiles:
    """What is pushed, sorted by path. `left_out`: the number of entries in LEFT_OUT that were found."""

    kind: Literal["folder", "file"]
    files: list[LocalFile] = field(default_factory=list)
    left_out: int = 0

    @property
    def bytes(self) -> int:
        """The sum of the sizes."""
        return sum(file.size for file in self.files)


def find_files(root: Path) -> LocalFiles:
    """The files of a folder, or a zip as one file. Follows links. Raises LocalDataError."""
    try:
        found = root.stat()
    except OSError as error:
        raise LocalDataError(f"{root}: {error.strerror}; give a folder or a .zip") from error
    if stat.S_ISREG(found.st_mode):
        return _zip(root, found)
    if not stat.S_ISDIR(found.st_mode):
        raise LocalDataError(f"{root} is neither a folder nor a file")
    walk = _Walk(LocalFiles("folder"))
    walk.enter(str(root.absolute()), "", (_identity(found),))
    refuse(walk.troubles)
    if not walk.found.files:
        raise LocalDataError(f"{root} has no file")
    walk.found.files.sort()
    return walk.found


def refuse(troubles: list[str]) -> None:
    """Raise LocalDataError if there are troubles, each of which names a file."""
    if not troubles:
        return
    shown = "".join(f"\n  {one}" for one in sorted(troubles)[:SHOWN])
    more = f"\n  and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
    raise LocalDataError(
        f"{len(troubles)} files cannot be pushed, so nothing was sent:{shown}{more}\n"
        "Rename, repair or remove them, or push a copy of the folder without them."
    )


def _zip(root: Path, found: os.stat_result) -> LocalFiles:
    if root.suffix.lower() != ".zip":
        raise LocalDataError(f"{root} is neither a folder nor a .zip: unpack it, and push the folder")
    if trouble := path_trouble(root.name):
        raise LocalDataError(f"{safe(root.name)} {trouble}: rename it")
    try:
        readable = zipfile.is_zipfile(root)
    except OSError as error:
        raise LocalDataError(f"{root}: {error.strerror}") from error
    if not readable:
        raise LocalDataError(f"{root} is not a complete zip file: copy it again")
    return LocalFiles("file", [_file(root.name, str(root.absolute()), found)])


def _file(path: str, source: str, found: os.stat_result) -> LocalFile:
    return LocalFile(path, source, found.st_size, found.st_mtime_ns, found.st_ino)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


@dataclass
class _Walk:
    """Collects files and troubles."""

    found: LocalFiles
    troubles: list[str] = field(default_factory=list)

    def enter(self, folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        """Add the files of a folder. `prefix`: its path with a slash at the end. `above`: identities up to the root."""
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            return self._trouble(prefix or folder, f"cannot be listed: {error.strerror}")
        for name in self._wanted(names):
            source, path = f"{folder}/{name}", prefix + name
            try:
                found = Path(source).stat()
            except OSError as error:
                self._trouble(path, _unstatable(error))
                continue
            if stat.S_ISDIR(found.st_mode):
                if _identity(found) in above:
                    self._trouble(path, "is a link to a folder that contains it")
                else:
                    self.enter(source, f"{path}/", (*above, _identity(found)))
            else:
                self._add(path, source, found)
        return None

    def _wanted(self, names: list[str]) -> Iterator[str]:
        for name in names:
            if name in LEFT_OUT:
                self.found.left_out += 1
            else:
                yield name

    def _add(self, path: str, source: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            self._trouble(path, f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'special')} and no regular file")
        elif trouble := path_trouble(path):
            self._trouble(path, trouble)
        elif not os.access(source, os.R_OK):
            self._trouble(path, "cannot be read: permission denied")
        elif len(self.found.files) == MAX_FILES:
            raise LocalDataError(f"the folder has more than {MAX_FILES:,} files, which is the limit: push parts of it")
        else:
            self.found.files.append(_file(path, source, found))

    def _trouble(self, path: str, what: str) -> None:
        self.troubles.append(f"{safe(path)} {what}")


def _unstatable(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "is a link to a file that does not exist"
    return "is a link to itself" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
