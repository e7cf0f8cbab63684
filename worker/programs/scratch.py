"""The folder of one attempt on the disk of the worker: its saves, its restored checkpoint, its copy of the code."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from baton.system import file_locks
from baton.system.caches import writing

LOCK = "lock"
log = logging.getLogger(__name__)


class Scratch:
    """A new folder below `cache`. The kernel releases its lock when this process dies.

    The next attempt on this machine then deletes it. Raises JobFailure: disk_full; cache_unusable.
    """

    def __init__(self, cache: Path) -> None:
        attempts = cache / "programs" / "attempts"
        with writing(attempts, "making a folder for a program"):
            attempts.mkdir(parents=True, exist_ok=True)
            # Only while this lock is held: otherwise another process could take the lock of the new folder first.
            with file_locks.held(attempts / LOCK):
                dead = dict(_dead(attempts))
                self.folder = attempts / f"{os.getpid()}-{secrets.token_hex(4)}"
                self.folder.mkdir(mode=0o700)
                self._lock = _locked(self.folder)
        for folder, lock in dead.items():
            _delete(folder, lock)
            log.info("deleted %s, which a killed attempt left", folder)

    def close(self) -> None:
        """Deletes the folder."""
        _delete(self.folder, self._lock)


def _dead(attempts: Path) -> Iterator[tuple[Path, int]]:
    """The folders of processes that have died, each with its lock, which this process now holds."""
    for folder in attempts.iterdir():
        # OSError: not a folder, or its process lives, or another process deletes it.
        with suppress(OSError):
            yield folder, _locked(folder)


def _locked(folder: Path) -> int:
    """Takes the lock of the folder. Returns its descriptor. Raises OSError."""
    lock = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _delete(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
