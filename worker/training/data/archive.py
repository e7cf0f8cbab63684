"""Unpacks a zip into the cache, once for each machine, completely or not at all."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from baton.system.caches import need_room, sync_directory, writing
from baton.system.file_locks import WORK_SECONDS, held
from worker.fetched.cache_cleanup import sweep
from worker.training.data.failures import bad_data
from worker.training.data.regular_files import check_regular
from worker.training.data.zip_checks import LIMITS, Limits, checked, plain_name

Progress = Callable[[int, int], None]
_COPY_BYTES = 1 << 20
_REPORT_EVERY = 100
# The approximate space on disk that a file needs in addition to its content.
_FILE_OVERHEAD = 4096
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


Room = Callable[[Path, str, int], None]
"""Called with a folder, an activity in words and the bytes that it needs. Raises JobFailure: disk_full."""


def unpacked(
    archive: Path, *, cache: Path, progress: Progress, limits: Limits = LIMITS, room: Room = need_room
) -> Path:
    """The directory with the archive's content. If that is one folder and nothing else, the path of this folder.

    A changed file counts as another archive. `progress(done, total)` counts files; an exception that it raises stops
    the work and leaves nothing. `room`: checks the free space, or makes room.

    Raises:
        JobFailure: bad_data, naming the member; disk_full; cache_unusable.
    """
    folder = cache / "unpacked" / f"{archive.stem[:80]}-{_key(archive)}"
    if not folder.is_dir():
        with writing(folder.parent, f"unpacking {archive}"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = folder.parent / f"{folder.name}.lock"

            def report(done: int, total: int) -> None:
                os.utime(lock)  # processes that wait for the lock see from its time that the work makes progress
                progress(done, total)

            with held(lock, lambda: progress(0, 0), progress=lambda: lock.stat().st_mtime_ns, seconds=WORK_SECONDS):
                if not folder.is_dir():
                    sweep(folder.parent, folder.name)
                    _unpack(archive, folder, report, limits, room)
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _key(archive: Path) -> str:
    try:
        found = archive.stat()
    except OSError as error:
        bad_data(f"dataset.path: {archive} cannot be read: {error.strerror}")
    check_regular(archive, found.st_mode)
    content = f"{archive}|{found.st_size}|{found.st_mtime_ns}"
    return hashlib.sha256(os.fsencode(content)).hexdigest()[:16]


def _unpack(archive: Path, folder: Path, progress: Progress, limits: Limits, room: Room) -> None:
    """Unpacks to a temporary folder and renames it once it is complete and on disk. Called under the lock."""
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        # Workers of other users share the cache.
        scratch.chmod(0o755)
        with _opened(archive) as content:
            files = checked(archive, content.infolist(), limits)
            if not files:
                bad_data(f"{archive}: no files in it")
            room(scratch, f"unpacking {archive}", sum(m.file_size + _FILE_OVERHEAD for m in files))
            _extract(content, archive, scratch, progress, files)
        # One sync for all files: an fsync for each of 120,000 files takes minutes.
        os.sync()
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sync_directory(folder.parent)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        content = zipfile.ZipFile(archive)
    except OSError as error:
        bad_data(f"{archive}: cannot be read: {error.strerror or error}")
    except _BROKEN as error:
        bad_data(f"{archive}: not a complete zip file: {error}")
    with content:
        yield content


def _extract(
    content: zipfile.ZipFile, archive: Path, folder: Path, progress: Progress, files: Sequence[zipfile.ZipInfo]
) -> None:
    made: set[Path] = set()
    for done, member in enumerate(files):
        if done % _REPORT_EVERY == 0:
            progress(done, len(files))
        target = folder / plain_name(member)
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        _write(content, archive, member, target)
    progress(len(files), len(files))


def _write(content: zipfile.ZipFile, archive: Path, member: zipfile.ZipInfo, target: Path) -> None:
    try:
        # zipfile reads no more than the size that was checked, and compares the checksum at the end.
        with content.open(member) as source, target.open("xb") as out:
            shutil.copyfileobj(source, out, _COPY_BYTES)
    except (*_BROKEN, OSError) as error:
        # An error of the system has an errno; damaged bzip2 data raises an OSError without one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        what = str(error) or type(error).__name__
        bad_data(f"{archive}: member {member.orig_filename!r} cannot be unpacked: {what}")
