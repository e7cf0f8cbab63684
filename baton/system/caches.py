"""The cache directory: its place, and errors with advice for a full or unusable disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from baton.domain.errors import JobFailure
from baton.system.file_locks import LockBusy

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
ADVICE = "set BATON_CACHE to a directory on a larger disk"


def default_cache() -> Path:
    """The cache directory of a worker if BATON_CACHE is not set."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "baton"


@contextmanager
def writing(folder: Path, doing: str, needed: int | None = None, advice: str = ADVICE) -> Iterator[None]:
    """Turns an OSError of the block, which writes `needed` bytes into `folder`, into a JobFailure with advice.

    Raises:
        JobFailure: disk_full; cache_unusable if the folder is not writable or another process holds its lock.
    """
    try:
        yield
    except LockBusy as error:
        raise JobFailure("cache_unusable", f"{doing}: {error.strerror}") from error
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(folder, doing, needed, advice) from error
        text = f"{folder} cannot be written while {doing}: {error.strerror or error}; make it writable, or {advice}"
        raise JobFailure("cache_unusable", text) from error


def need_room(folder: Path, doing: str, needed: int, advice: str = ADVICE) -> None:
    """Checks the free space before a long write. Raises JobFailure: disk_full."""
    if shutil.disk_usage(folder).free < needed:
        raise disk_full(folder, doing, needed, advice)


def disk_full(folder: Path, doing: str, needed: int | None, advice: str = ADVICE) -> JobFailure:
    """The failure of an attempt on a full disk. `needed` in bytes."""
    wanted = "" if needed is None else f": {megabytes(needed)} are needed{_free(folder)}"
    return JobFailure("disk_full", f"disk full while {doing} in {folder}{wanted}; make room, or {advice}")


def _free(folder: Path) -> str:
    try:
        return f", {megabytes(shutil.disk_usage(folder).free)} are free"
    except OSError:
        return ""


def megabytes(count: int) -> str:
    """A size in bytes as text in MB, a small one in kB.

    >>> megabytes(248_100_043), megabytes(123_456), megabytes(2_869)
    ('248 MB', '0.12 MB', '2.9 kB')
    """
    if count < 10_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:,.0f} MB" if count >= 10_000_000 else f"{count / 1e6:.2f} MB"


def of_total(done: int, total: int | None) -> str:
    """Progress in bytes as text, in the unit that fits the total.

    >>> of_total(1_210_000_000, 3_400_000_000), of_total(0, 70_000), of_total(5_300_000, None)
    ('1.2 of 3.4 GB', '0.0 of 70.0 kB', '5.3 MB')
    """
    size = done if total is None else total
    scale, unit = next((pair for pair in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= pair[0]), (1.0, "bytes"))
    digits = 0 if scale == 1.0 else 1
    shown = f"{done / scale:.{digits}f}"
    return f"{shown} {unit}" if total is None else f"{shown} of {total / scale:.{digits}f} {unit}"


def sync_directory(folder: Path) -> None:
    """Makes renames in the folder survive a power cut."""
    # Some file systems cannot sync a directory. After a power cut a cached file may then be missing and is made again.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
