"""A store in a directory. Each object is one file with the object's name, so that people can browse the store.

Only the bytes are stored. So `stat` and `list` return no checksum, and guess the content type from the file
extension. A caller that must verify the bytes compares the checksum that `put` or `download` returns.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from baton.storage.argument_checks import checked_bounds, checked_expiry, checked_size
from baton.storage.checksum import CHUNK_BYTES, Crc32c
from baton.storage.content_types import guessed_type
from baton.storage.directory_walk import folder, is_object, missing, translated
from baton.storage.errors import (
    AlreadyExists,
    InvalidName,
    NotFound,
    StoreConfigError,
    StoreUnavailable,
)
from baton.storage.local_files import atomic_file, read_chunks, write_all
from baton.storage.object_names import TEMP_FOLDER, checked_name, checked_prefix
from baton.storage.port import OCTETS, BlobInfo, SignedPut

_STALE_SECONDS = 24 * 3600
_PUBLISH_TRIES = 100
_CHECK_BYTES = 1 << 16
_LEAST_FREE = 1 << 20  # bytes; with less free space no checkpoint fits


@contextlib.contextmanager
def _closed(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Close a reader's file at the end of the block.

    Otherwise a traceback may keep the file open for long. An open file that was deleted still uses space on the disk.
    """
    try:
        yield chunks
    finally:
        if isinstance(chunks, Generator):
            chunks.close()


class DirectoryStore:
    """A BlobStore in a directory of one local file system. The directory is created if it is missing.

    Raises StoreConfigError if it cannot be created.
    """

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._root = root.resolve(strict=True)
        except OSError as error:
            raise StoreConfigError(f"Cannot create the store's directory {root}: {error.strerror}.") from error
        with translated(self._root, TEMP_FOLDER), folder(self._root, [TEMP_FOLDER], create=True) as temps:
            _sweep(temps)

    @property
    def url(self) -> str:
        """file:///absolute/directory."""
        return self._root.as_uri()

    def put(
        self,
        name: str,
        data: bytes | memoryview | Path,
        *,
        if_absent: bool = False,
        content_type: str = OCTETS,  # noqa: ARG002 - part of the port; this store guesses it from the name
    ) -> BlobInfo:
        """See BlobStore.put."""
        checked_name(name)
        if if_absent and self.stat(name) is not None:  # fails early, without writing the data
            raise _taken(name)
        return self._store(name, read_chunks(data), if_absent=if_absent)

    def put_stream(self, name: str, chunks: Iterable[bytes], *, if_absent: bool = False) -> BlobInfo:
        """See StreamedPut.put_stream."""
        return self._store(checked_name(name), chunks, if_absent=if_absent)

    def get(self, name: str) -> bytes:
        """See BlobStore.get. The checksum is not verified: this store has none."""
        with self._open(name) as file, translated(self._root, name):
            return file.read()

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See BlobStore.open. A reader gets the content at the time of the call, even if it is replaced later."""
        checked_bounds(start, end)
        file = self._open(name)
        size = os.fstat(file.fileno()).st_size
        chunks = self._chunks(name, file, start, size if end is None else min(end, size))
        next(chunks)  # start it: a generator closes its file only if it was started
        return chunks

    def download(self, name: str, path: Path) -> BlobInfo:
        """See BlobStore.download. The returned checksum is that of the bytes that were read: this store has none."""
        with atomic_file(path) as write, _closed(self.open(name)) as chunks:
            total = write(chunks)
        info = self.stat(name)
        updated = info.updated if info else datetime.now(UTC)
        return BlobInfo(name, total.size, total.hex, updated, guessed_type(name))

    def stat(self, name: str) -> BlobInfo | None:
        """See BlobStore.stat; `crc32c` is None."""
        *folders, leaf = checked_name(name).split("/")
        with contextlib.suppress(NotFound), translated(self._root, name), folder(self._root, folders) as fd:
            found = is_object(fd, leaf)
            return _info(name, found) if found else None
        return None

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See BlobStore.list; `crc32c` is None. Symbolic links and files with invalid names are skipped."""
        *folders, start = checked_prefix(prefix).split("/")
        return _walk(self._root, folders, start)

    def delete(self, name: str) -> None:
        """See BlobStore.delete. Folders that become empty are deleted too."""
        *folders, leaf = checked_name(name).split("/")
        with contextlib.suppress(NotFound), translated(self._root, name), folder(self._root, folders) as fd:
            if not stat.S_ISDIR(os.stat(leaf, dir_fd=fd, follow_symlinks=False).st_mode):
                os.unlink(leaf, dir_fd=fd)
        self._prune(folders)

    def copy(self, source: str, target: str) -> BlobInfo:
        """See BlobStore.copy. The bytes are copied: with a hard link, editing one file would change the other."""
        checked_name(target)
        with _closed(self.open(source)) as chunks:
            return self._store(target, chunks, if_absent=False)

    def signed_url(self, name: str, expires: timedelta) -> str | None:
        """See BlobStore.signed_url. Always None: a directory has no server."""
        checked_name(name)
        checked_expiry(expires)
        return None

    def signed_put(
        self,
        name: str,
        expires: timedelta,
        *,
        if_absent: bool,  # noqa: ARG002 - part of the port
        content_type: str,  # noqa: ARG002
        size: int,
    ) -> SignedPut | None:
        """See BlobStore.signed_put. Always None: a directory has no server."""
        checked_size(size)
        self.signed_url(name, expires)
        return None

    def check(self) -> None:
        """See BlobStore.check: writes, links and removes a file. Raises StoreFull if the disk is almost full."""
        with translated(self._root, TEMP_FOLDER), self._temporary() as (temps, temp, fd):
            found = os.fstatvfs(fd)
            if found.f_bavail * found.f_frsize < _LEAST_FREE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write_all(fd, bytes(_CHECK_BYTES))
            os.fsync(fd)
            probe = f"{temp}.link"
            os.link(temp, probe, src_dir_fd=temps, dst_dir_fd=temps)
            os.unlink(probe, dir_fd=temps)

    def _store(self, name: str, chunks: Iterable[bytes], *, if_absent: bool) -> BlobInfo:
        with translated(self._root, name), self._temporary() as (temps, temp, fd):
            total = Crc32c()
            for chunk in chunks:
                total.update(chunk)
                write_all(fd, chunk)
            os.fsync(fd)
            written = os.fstat(fd)
            self._publish(temps, temp, name, if_absent=if_absent)
        return BlobInfo(name, total.size, total.hex, _updated(written), guessed_type(name))

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[int, str, int]]:
        """Yield the temp folder's descriptor, and name and descriptor of a new file in it. Unlinks it at the end."""
        temp = secrets.token_hex(16)
        with folder(self._root, [TEMP_FOLDER], create=True) as temps:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=temps)
            try:
                yield temps, temp, fd
            finally:
                os.close(fd)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temp, dir_fd=temps)

    def _publish(self, temps: int, temp: str, name: str, *, if_absent: bool) -> None:
        *folders, leaf = name.split("/")
        for _ in range(_PUBLISH_TRIES):
            with contextlib.suppress(FileNotFoundError), folder(self._root, folders, create=True) as fd:
                if if_absent:
                    _link(temps, temp, fd, leaf, name)
                else:
                    os.replace(temp, leaf, src_dir_fd=temps, dst_dir_fd=fd)
                return os.fsync(fd)  # otherwise a power cut could lose the name
            # a concurrent delete removed the new, still empty folder: create it again
        raise StoreUnavailable(f"Could not store {name!r}: its folder is deleted again and again. Try again.")

    def _prune(self, folders: Sequence[str]) -> None:
        for depth in range(len(folders), 0, -1):
            try:
                with folder(self._root, folders[: depth - 1]) as fd:
                    os.rmdir(folders[depth - 1], dir_fd=fd)
            except (OSError, InvalidName):  # it is not empty, or another process prunes: the folders above stay
                return

    def _open(self, name: str) -> BinaryIO:
        *folders, leaf = checked_name(name).split("/")
        with translated(self._root, name), folder(self._root, folders) as fd:
            if is_object(fd, leaf) is None:
                raise missing(self._root, name)
            # O_NOFOLLOW and O_NONBLOCK: the file may have been replaced by a link or a pipe since the check
            return os.fdopen(os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd), "rb")

    def _chunks(self, name: str, file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
        with file, translated(self._root, name):
            file.seek(start)
            yield b""
            while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
                start += len(chunk)
                yield chunk


def _link(temps: int, temp: str, fd: int, leaf: str, name: str) -> None:
    try:
        os.link(temp, leaf, src_dir_fd=temps, dst_dir_fd=fd, follow_symlinks=False)
    except FileExistsError as error:
        if stat.S_ISDIR(os.stat(leaf, dir_fd=fd, follow_symlinks=False).st_mode):
            raise IsADirectoryError(error.errno, "is a folder", leaf) from error
        raise _taken(name) from error


def _sweep(temps: int) -> None:
    """Remove unfinished files of killed writers. A file that is a day old belongs to no running write."""
    oldest = time.time() - _STALE_SECONDS
    with os.scandir(temps) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.name, dir_fd=temps)


def _walk(root: Path, folders: Sequence[str], start: str) -> Iterator[BlobInfo]:
    """Yield the objects in the folder's entries that start with `start`, sorted by the objects' full names."""
    entries = [entry for entry in _entries(root, folders) if entry[0].startswith(start)]
    for key, found in sorted(entries, key=lambda entry: entry[0]):
        path = [*folders, key.rstrip("/")]
        if key.endswith("/"):
            yield from _walk(root, path, "")
        else:
            yield _info("/".join(path), found)


def _entries(root: Path, folders: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the folder's files and subfolders. A subfolder gets a final '/', so that it sorts as its objects do."""
    gone = contextlib.suppress(NotFound, InvalidName)
    with gone, translated(root, "/".join(folders)), folder(root, folders) as fd, os.scandir(fd) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError, InvalidName):
                checked_name("/".join([*folders, entry.name]))
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    yield f"{entry.name}/", found
                elif stat.S_ISREG(found.st_mode):
                    yield entry.name, found


def _info(name: str, found: os.stat_result) -> BlobInfo:
    return BlobInfo(name, found.st_size, None, _updated(found), guessed_type(name))


def _updated(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"The object {name!r} exists already and is not replaced.")
