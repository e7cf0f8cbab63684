"""The autotuning results of this machine, for later jobs: they start faster, and use the same kernels.

There is one file per key. A process replaces only the file that it started with, so the choices of two processes are
never mixed.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager
from pathlib import Path

from baton.system.file_locks import held
from worker.autotuning.folder import Results

KEPT = 32
"""Number of files that a machine keeps. The least recently used files are removed."""
LOCK_SECONDS = 5.0
"""How long to wait for another process that holds the lock of a key. That process may be suspended."""

_SUFFIX = ".results"
log = logging.getLogger(__name__)


class LocalCache:
    """Files below a folder of the worker's cache. A failure costs only time, so it is only logged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, key: str) -> Results | None:
        """The results of a key; None if there are none or they are damaged."""
        try:
            with self._locked(key):
                found = self._read(key)
                if found:
                    os.utime(self._file(key))
                return found
        except OSError as error:
            log.warning("cannot read autotuning results from the cache of this machine: %s", error)
            return None

    def give(self, key: str, results: Results, begun: Results | None) -> bool:
        """Replaces the results that the process started with (`begun`). False if another process has replaced them."""
        try:
            with self._locked(key):
                if self._read(key) != begun:
                    return False
                new = self._file(key).with_suffix(".new")
                new.write_bytes(results.crc32c.encode() + b"\n" + results.data)
                new.replace(self._file(key))
            files = sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
            for file in files[:-KEPT]:
                self.forget(file.name.removesuffix(_SUFFIX))
        except OSError as error:
            log.warning("cannot keep autotuning results in the cache of this machine: %s", error)
            return False
        return True

    def forget(self, key: str) -> None:
        """Removes the results of a key."""
        try:
            with self._locked(key):
                self._file(key).unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove autotuning results from the cache of this machine: %s", error)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _locked(self, key: str) -> AbstractContextManager[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return held(self._folder / f"{key}.lock", seconds=LOCK_SECONDS)

    def _read(self, key: str) -> Results | None:
        try:
            checksum, _, data = self._file(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        results = Results.of(data)
        if results.crc32c.encode() == checksum:
            return results
        self._file(key).unlink()
        log.warning("the autotuning results in %s are damaged: removed them", self._file(key))
        return None
