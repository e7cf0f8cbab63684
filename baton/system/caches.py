"""The directory for what can be made again: where it is, and words for what is wrong with it."""

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
    """Where a worker keeps its caches unless BATON_CACHE says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "baton"


@contextmanager
def writing(folder: Path, doing: str, needed: int | None = None, advice: str = ADVICE) -> Iterator[None]:
    """Names what the operating system refuses while something of `needed` bytes is written into a folder.

    Raises:
        JobFailure: disk_full; cache_unusable, nothing can be written there, or another process holds its lock.
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
    """Looks before a long work begins. Raises JobFailure: disk_full."""
    if shutil.disk_usage(folder).free < needed:
        raise disk_full(folder, doing, needed, advice)


def disk_full(folder: Path, doing: str, needed: int | None, advice: str = ADVICE) -> JobFailure:
    """What a full disk ends an attempt with. `needed` in bytes."""
    wanted = "" if needed is None else f": {megabytes(needed)} are needed{_free(folder)}"
    return JobFailure("disk_full", f"disk full while {doing} in {folder}{wanted}; make room, or {advice}")


def _free(folder: Path) -> str:
    try:
        return f", {megabytes(shutil.disk_usage(folder).free)} are free"
    except OSError:
        return ""


def megabytes(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:,.0f} MB" if count >= 10_000_000 else f"{count / 1e6:.2f} MB"


def sync_directory(folder: Path) -> None:
    """Has renames in it survive a power cut."""
    # Some file systems cannot sync a directory; what is in it is then at worst made again.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
