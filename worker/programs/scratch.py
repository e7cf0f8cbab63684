"""The folder of one attempt on the disk of the worker: its saves, its restored checkpoint, its copy of the code."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
from pathlib import Path

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
            _sweep(attempts)
            self.folder = attempts / f"{os.getpid()}-{secrets.token_hex(4)}"
            self.folder.mkdir(mode=0o700)
            self._lock = os.open(self.folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _sweep(attempts: Path) -> None:
    """Deletes the folders of processes that have died."""
    for folder in attempts.iterdir():
        try:
            lock = os.open(folder / LOCK, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            continue  # its process is about to lock it, or deletes it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            log.info("deleted %s, which a killed attempt left", folder)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
