"""The folder of one process: XLA reads autotuning results from a file in it, and writes its results to that file."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from baton.storage.checksum import crc32c_of
from baton.system.file_locks import free, held

# XLA writes text if the name has this ending.
FILE = "autotuning.textproto"
ROOM = 64 * 10**6
"""Bytes that must be free on the disk. If XLA cannot write the file, the compilation fails."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Results:
    """The content of the file. `digest`: of the content, part of the name in the store."""

    data: bytes
    crc32c: str
    digest: str

    @classmethod
    def of(cls, data: bytes) -> Results:
        """Computes the checksums."""
        return cls(data, crc32c_of(data), hashlib.sha256(data).hexdigest()[:16])


class Folder:
    """A folder below `runs`. Its process removes it at the end; the next process removes those of killed processes.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, runs: Path) -> None:
        runs.mkdir(parents=True, exist_ok=True)
        _remove_dead(runs)
        name = uuid.uuid4().hex
        self.path, self._lock = runs / name, runs / f"{name}.lock"
        self._alive = ExitStack()
        self._alive.enter_context(held(self._lock))
        self.path.mkdir()
        self._seen: tuple[tuple[int, int], Results] | None = None

    @property
    def file(self) -> Path:
        """The file that XLA writes."""
        return self.path / FILE

    def announce(self) -> None:
        """Makes XLA write its results here, and use existing ones. XLA reads its flags at its first compilation.

        Call it after `put`: the compilation fails if the flags name a file to load that does not exist. Raises OSError.
        """
        self.path.mkdir(parents=True, exist_ok=True)  # the cache may have been cleared while the process waited
        _add_flag("--xla_gpu_dump_autotune_results_to", self.file)
        if self.file.exists():
            _add_flag("--xla_gpu_load_autotune_results_from", self.file)

    def put(self, data: bytes) -> None:
        """Writes results for XLA to use. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(data)
        os.utime(self.file, ns=(0, 0))  # any later time shows that XLA wrote the file

    def written(self) -> bool:
        """Whether XLA has written the file in this process. XLA writes it after each compilation for a GPU."""
        try:
            return self.file.stat().st_mtime_ns > 0
        except OSError:
            return False

    def empty(self) -> None:
        """Removes the content."""
        shutil.rmtree(self.path, ignore_errors=True)

    def found(self) -> Results | None:
        """The content of the file, read again only after a change. Call it in the thread that compiles. Raises OSError.

        If the file is damaged, returns the last good content. On several devices, two compilations may write the file
        at the same time and damage it.
        """
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return None
        state = status.st_mtime_ns, status.st_size
        if self._seen is None or self._seen[0] != state:
            data = self.file.read_bytes()
            # After concurrent writes the file contains zeros where one writer truncated it.
            if not data.endswith(b"\n") or b"\0" in data:
                log.warning("%s is damaged", self.file)
                return self._seen[1] if self._seen else None
            self._seen = state, Results.of(data)
        return self._seen[1]

    def close(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.unlink(missing_ok=True)
        self._alive.close()


def open_folder(cache: Path) -> Folder:
    """A folder below the cache of a worker.

    Raises:
        OSError: it cannot be written, or the disk has too little space.
    """
    runs = cache / "autotuning" / "runs"
    folder = Folder(runs)
    if shutil.disk_usage(runs).free < ROOM:
        folder.close()
        raise OSError(f"less than {ROOM // 10**6} MB are free in {runs}")
    return folder


def _remove_dead(runs: Path) -> None:
    for folder in [entry for entry in runs.iterdir() if entry.is_dir()]:
        lock = folder.with_name(f"{folder.name}.lock")
        with free(lock) as dead:
            if dead:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)


def _add_flag(flag: str, path: Path) -> None:
    # XLA uses the last of two equal flags, so this replaces an earlier value.
    quote = '"' if "'" in str(path) else "'"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}={quote}{path}{quote}".strip()
