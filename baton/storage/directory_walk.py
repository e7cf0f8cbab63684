"""Opens folders by descriptors without following symbolic links, so that no object name can leave the root."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from baton.storage.errors import InvalidName, NotFound, StoreConfigError, StoreFull, StoreUnavailable
from baton.storage.local_files import FULL

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_LINKS = frozenset({errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})


@contextlib.contextmanager
def folder(root: Path, segments: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Yield a descriptor of root/segments. With `create`, missing folders are created durably.

    Raises FileNotFoundError if a folder is missing or is a file, InvalidName if it is a symbolic link (with `create`
    also if it is a file) and StoreUnavailable if the root is missing.
    """
    fd = _open_root(root)
    try:
        for segment in segments:
            child = _enter(fd, segment, create=create)
            os.close(fd)
            fd = child
        yield fd
    finally:
        os.close(fd)


def is_object(fd: int, leaf: str) -> os.stat_result | None:
    """Return the entry's stat if it is a regular file, None if there is none. Raises InvalidName for a link."""
    try:
        found = os.stat(leaf, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise InvalidName(f"{leaf!r} is a symbolic link, which the store does not follow; replace it by its target.")
    return found if stat.S_ISREG(found.st_mode) else None


@contextlib.contextmanager
def translated(root: Path, name: str) -> Iterator[None]:
    """Turn errors of the operating system into errors of the store. A missing file is NotFound."""
    try:
        yield
    except FileNotFoundError as error:
        raise missing(root, name) from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise InvalidName(f"{name!r} cannot be an object: its name is a folder of other objects.") from error
    except OSError as error:
        raise _store_error(root, name, error) from error


def missing(root: Path, name: str) -> NotFound:
    """The error for an object that does not exist."""
    return NotFound(f"There is no object {name!r} in the store {root}.")


def _store_error(root: Path, name: str, error: OSError) -> Exception:
    what = f"{name!r} in the store {root}: {error.strerror}"
    if error.errno in FULL:
        return StoreFull(f"The disk of the store {root} is full; make room and try again.")
    if error.errno in _FORBIDDEN:
        return StoreConfigError(f"No permission for {what}. Give this user read and write access to the directory.")
    if error.errno in _NO_LINKS:
        return StoreConfigError(f"{what}. The store needs one local file system with hard links; move it to one.")
    return StoreUnavailable(f"Cannot use {what}. Check the disk or the mount, then try again.")


def _open_root(root: Path) -> int:
    try:
        return os.open(root, _FOLDER)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreUnavailable(f"The store's directory {root} is missing; mount or create it and try again.") from error


def _enter(fd: int, segment: str, *, create: bool) -> int:
    try:
        return os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        _obstacle(fd, segment, create=create)
    return _make(fd, segment)


def _make(fd: int, segment: str) -> int:
    with contextlib.suppress(FileExistsError):  # another writer has just created it
        os.mkdir(segment, dir_fd=fd)
        os.fsync(fd)
    return os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)


def _obstacle(fd: int, segment: str, *, create: bool) -> None:
    if is_object(fd, segment) is not None and create:
        raise InvalidName(f"{segment!r} is already an object, so it cannot also be a folder of other objects.")
    raise FileNotFoundError(errno.ENOENT, "no such folder", segment)
